### if elif else
x=2; if [ $x = 1 ]; then echo one; elif [ $x = 2 ]; then echo two; else echo other; fi
### if without else has status zero
if false; then :; fi; echo $?
### for over words
for x in a b c; do echo $x; done
### for without in
set -- p q; for x; do echo $x; done
### for over nothing
for x in; do echo never; done; echo $?
### while and until
i=0; while [ $i -lt 3 ]; do echo $i; i=$((i+1)); done; until [ $i = 0 ]; do i=$((i-1)); done; echo $i
### break and continue
for i in 1 2 3 4 5; do [ $i = 2 ] && continue; [ $i = 4 ] && break; echo $i; done
### break two
for i in 1 2; do for j in a b; do echo $i$j; [ $j = a ] && break 2; done; done; echo end
### continue two
for i in 1 2; do for j in a b; do echo $i$j; continue 2; done; done
### case
for x in apple Banana 7 -f ''; do case $x in a*) echo a;; [A-Z]*) echo upper;; [0-9]) echo digit;; -*) echo option;; *) echo none;; esac; done
### case with alternatives
case b in a|b|c) echo abc;; esac; case d in (a|b) echo no;; (*) echo rest;; esac
### case falls through
case a in a) echo 1;& b) echo 2;; c) echo 3;; esac
### case tests on
case ab in a*) echo 1;;& *b) echo 2;;& c) echo 3;; esac
### case with quotes
x='a*'; case 'a*' in "$x") echo literal;; esac; case abc in $x) echo pattern;; esac
### case without match
case x in y) echo no;; esac; echo $?
### subshell keeps variables
x=1; (x=2; echo $x); echo $x
### subshell keeps the folder
(cd src && pwd | sed 's/.*\///'); ls -d src
### nested loops
for i in 1 2; do for j in 1 2; do echo -n "$((i*j)) "; done; done; echo
### loop status
while false; do :; done; echo $?; for i in 1; do false; done; echo $?
### until with a command
n=0; until (( ++n >= 3 )); do :; done; echo $n
### one line function with if
f() if [ "$1" ]; then echo yes; else echo no; fi; f x; f
### conditional expression strings
[[ abc == a* ]] && echo glob; [[ abc == "a*" ]] || echo literal; [[ a < b ]] && echo less
### conditional expression files
[[ -f words.txt && -d src && ! -e nope ]] && echo files; [[ -s words.txt ]] && echo size
### conditional expression logic
[[ (a == a || b == c) && -n x ]] && echo yes; [[ -z "" ]] && echo empty
### conditional expression numbers
[[ 5 -gt 3 && 2 -le 2 && 1 -ne 2 ]] && echo numbers
### regex
[[ abc123 =~ ^[a-z]+([0-9]+)$ ]] && echo ${BASH_REMATCH[0]} ${BASH_REMATCH[1]}
### regex in a variable
re='^([^=]+)=(.*)$'; [[ key=value ]] && [[ key=value =~ $re ]] && echo ${BASH_REMATCH[1]} ${BASH_REMATCH[2]}
### regex does not match
[[ abc =~ [0-9] ]]; echo $?
### regex with a quoted part
[[ a.c =~ a"."c ]] && echo dot; [[ abc =~ a"."c ]] || echo no
### no splitting in conditional expressions
x="a b"; [[ $x == "a b" ]] && echo same; [[ -n $unset ]] || echo none
### not
[[ ! a == b ]] && echo not; ! [[ a == a ]]; echo $?
### test command
[ 1 -lt 2 ] && echo lt; [ a != b ] && echo ne; test -f words.txt && echo file; [ ! -d nope ] && echo no
### test with and or
[ a = a -a b = b ] && echo and; [ a = b -o b = b ] && echo or
### test of strings
[ "" ] || echo empty; [ x ] && echo word; [ -z "" ] && echo zero; [ -n y ] && echo nonzero
### select is a loop over a here-document of while
while IFS=, read -r n a c; do echo "$c $n"; done < people.csv
### nested functions and loops
outer() { for i in 1 2; do inner $i; done; }; inner() { echo "inner $1"; }; outer
### arithmetic in conditions
x=5; if (( x > 3 )); then echo big; fi
### while with several commands in the condition
i=0; while i=$((i+1)); [ $i -lt 3 ]; do echo $i; done
### loop with redirected input keeps variables
n=0; while read -r l; do n=$((n+1)); done < words.txt; echo $n
### case on several lines
case "x y" in
  "x y")
    echo spaced
    ;;
  *)
    echo no
esac
### character classes in case
for c in a 1 ' ' _; do case $c in [[:alpha:]]) echo letter;; [[:digit:]]) echo digit;; [[:space:]]) echo space;; *) echo other;; esac; done
