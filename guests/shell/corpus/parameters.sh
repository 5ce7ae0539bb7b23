### defaults
echo ${x:-d} ${x-e}; x=; echo "${x:-d}" "${x-e}"
### assign default
echo ${x:=new} $x; y=; echo ${y:=other} $y
### alternative
x=1; echo ${x:+alt} "${n:+alt}" ${n+set} end
### error when unset ends the shell
echo ${x:?message}; echo not reached
### error text does not matter when set
x=ok; echo ${x:?message}
### length
x=hello; echo ${#x}; x=; echo ${#x}; x=é; echo ${#x}
### prefix removal
x=a.b.c; echo ${x#*.} ${x##*.}
### suffix removal
x=a.b.c; echo ${x%.*} ${x%%.*}
### basename and dirname
p=/usr/lib/x.tar.gz; echo ${p##*/} ${p%/*} ${p%%.*} ${p#*.}
### pattern in a variable
x=foobar; p='foo*'; echo ${x#$p} "${x#"$p"}"
### replace first and all
x=banana; echo ${x/a/o} ${x//a/o} ${x//an/}
### replace anchored
x=banana; echo ${x/#b/B} ${x/%a/A} ${x/#a/X}
### replace with pattern
x="a1b22c"; echo ${x//[0-9]/#} ${x//[0-9][0-9]/N}
### replace with empty
x=a-b-c; echo ${x//-} ${x/-}
### replacement with ampersand
x=abc; echo ${x/b/[&]} "${x/b/[\&]}"
### case of first letter
x=word; echo ${x^}; x=WORD; echo ${x,}
### case of all
x=MiXed; echo ${x^^} ${x,,}
### case with pattern
x=banana; echo ${x^^a} ${x^^[bn]}
### substring
x=abcdef; echo ${x:2} ${x:1:3} ${x:0:1}
### negative substring
x=abcdef; echo ${x: -2} ${x: -4:2} ${x:1:-1}
### substring with arithmetic
x=abcdef; n=2; echo ${x:n} ${x:n+1:1} ${x:$n:2}
### indirection
a=b; b=value; echo ${!a}
### names by prefix
pre_a=1; pre_b=2; echo ${!pre_*}
### positional parameters
set -- a "b c" d; echo $1 "$2" $# ${#} ${3}
### all positional as words
set -- a "b c"; for x in "$@"; do echo "[$x]"; done; for x in $@; do echo "($x)"; done
### star joins
set -- a b c; IFS=-; echo "$*" "$@"
### ten and more
set -- 1 2 3 4 5 6 7 8 9 ten eleven; echo $10 ${10} ${11}
### slices of positional parameters
set -- a b c d; echo "${@:2}" "${@:2:2}" "${@: -1}"
### shift
set -- a b c; shift; echo $1 $#; shift 2; echo $#; shift; echo $?
### unset and set tests
x=; echo ${x+set} ${y+set} [${x:+nonempty}]
### nested defaults
echo ${a:-${b:-${c:-deep}}}
### default with quotes and spaces
f() { echo $#; }; f ${x:-a b c}; f "${x:-a b c}"; f ${x:-"a b" c}
### default with command
echo ${x:-$(echo computed)}
### quoted at without parameters is nothing
f() { echo $#; }; set --; f "$@"; f "$*"; f x"$@"
### transform to quoted
x="it's"; echo ${x@Q}; y=plain; echo ${y@Q}
### transform case
x=abC; echo ${x@U} ${x@L} ${x@u}
### transform to escape
x='a\tb'; echo "${x@E}"
### dollar zero of a script
bash -c 'echo $0 $1' name arg
### last argument count in function
f() { echo "$# $*"; set -- x y; echo "$# $*"; }; set -- a; f p q r; echo "$# $*"
### unset variable
x=1; unset x; echo "[${x-unset}]"
### nounset ends the script
set -u; echo ${x-ok}; echo $x; echo not reached
### nounset with arrays and at
set -u; set --; echo "$@" "$#"; a=(); echo "${a[@]}" end
### append
x=a; x+=b; x+=c; echo $x
### assignments on one line
a=1 b=2 c=$a$b; echo $c
### assignment status
x=$(false); echo $?; x=$(exit 3) ; echo $?
### prefix assignment is for the command alone
x=out; x=in bash -c 'echo $x'; echo $x
### prefix assignment does not affect expansion
x=a; x=b echo $x
### IFS splits
x=a:b:c; IFS=:; for p in $x; do echo $p; done
### IFS with white space around
IFS=' ,'; x='a , b,,c'; for p in $x; do echo "[$p]"; done
### empty IFS does not split
x='a b'; IFS=; for p in $x; do echo "[$p]"; done
### question mark and hash
true; echo $?; false; echo $?; set -- 1 2; echo $#
### pattern with slash
p=/a/b/c; echo ${p//\//.} ${p/\/a/}
### greedy and not
x=aXbXc; echo ${x#*X} ${x##*X} ${x%X*} ${x%%X*}
### length of all
set -- a b c; a=(1 2); echo ${#@} ${#*} ${#a[@]} ${#a[1]}
### replace in all elements
a=(ab cb); echo ${a[@]/b/X}; set -- xa ya; echo ${@/a/b}
### variables in patterns are patterns unless quoted
x='a*b'; y='a*'; echo ${x#$y} ${x#"$y"}
### single quotes in a pattern
x="a'b"; echo ${x#*\'} "${x%\'*}"
### default in double quotes keeps single quotes
echo "${x:-'q'}"
### nameref
t=value; declare -n r=t; echo $r; r=new; echo $t
