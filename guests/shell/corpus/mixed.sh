### time keyword
time true; echo $?
### while with heredoc and pipes
while read -r x; do echo "got $x"; done <<EOF | sort -r
1
2
EOF
### function with heredoc called twice
f() { cat <<E1; cat <<E2; }
one $1
E1
two $1
E2
f a; f b
### nested command substitution with quotes
x="$(echo "a $(echo "b $(echo 'c d')")")"; echo "$x"
### escaped dollar in heredoc with command
cat <<EOF
\$HOME $(echo ok) \`no\` `echo yes`
EOF
### arrays and IFS join
IFS=:; a=(x y z); echo "${a[*]}"; unset IFS; echo "${a[*]}"
### default with slash and colon
p=${UNSET:-/usr/bin:/bin}; echo $p; echo "${p//:/ }"
### printf repeats
printf '%s\n' a b c; printf '%s=%s\n' k1 v1 k2
### string comparison in test
[ "abc" \< "abd" ] && echo less; [[ "b" > "a" ]] && echo more
### case in function with return
f() { case $1 in a) return 1;; *) return 2;; esac; }; f a; echo $?; f b; echo $?
### unset in a loop
for i in 1 2; do x$i=1 2>/dev/null; eval "v$i=$i"; done; echo $v1 $v2
### eval with arrays
eval 'a=(1 2 3)'; echo ${#a[@]}
### while true with break
i=0; while true; do ((++i > 4)) && break; done; echo $i
### sub and arith
((a = 3 > 2 ? 10 : 20)); echo $a; x=$((a++ + ++a)); echo $x $a
### loops with pipes inside
for w in b a; do echo $w; done | sort | while read -r l; do echo "<$l>"; done
### exit in a pipeline stage
echo x | { read -r y; exit 4; }; echo $?
### trap with exit code changed
trap 'exit 9' EXIT; exit 2
### return value of assignment in condition
if x=$(false); then echo t; else echo f; fi
### or with group
false || { echo fallback; true; } && echo then
### semicolon after brace
{ echo a; }; { echo b; }
### newline separated if
if
true
then
echo yes
fi
### quotes in case pattern
case "a b" in "a b") echo match;; esac; case 'x*y' in x\*y) echo star;; esac
### local and command substitution status
f() { local x=$(false); echo $?; local y; y=$(false); echo $?; }; f
### positional in arithmetic
set -- 4 5; echo $(($1*$2)) $(($#))
### string repetition
printf '%0.s-' {1..10}; echo
### printf -v with padding
printf -v p '%-6s|' ab; echo "$p"
### substring of positional
set -- hello; echo ${1:1:3} ${1^} ${1%lo}
### nested parameter operators
f=path/to/file.tar.gz; b=${f##*/}; echo ${b%%.*} ${b#*.}
### arithmetic base in variable
x=0x10; echo $((x)) $((x+1)); y=08; echo $((10#$y+1))
### double brackets and patterns in variables
p='a*'; [[ abc == $p ]] && echo pat; [[ abc == "$p" ]] || echo lit
### read with here-string and array
read -ra parts <<< "a:b c:d"; echo ${parts[1]}
### reading passwd like fields
while IFS=: read -r u x rest; do echo "$u-$rest"; done <<< "root:x:0:0
bin:x:1:1"
### tilde and variables
HOME=/h; echo ~/a $HOME/b
### multiple assignment in for
for kv in a=1 b=2; do k=${kv%%=*}; v=${kv#*=}; echo "$k->$v"; done
### command not found status in and-or
nosuch_q 2>/dev/null || echo missing
### group redirect append
{ echo a; echo b; } >> log; { echo c; } >> log; cat log
### subshell pipes
(echo 2; echo 1) | sort
### error in subshell only
(set -e; false; echo no); echo after $?
### errexit and command substitution in argument
set -e; echo "$(false)"; echo reached
### errexit with negation
set -e; ! false; ! true; echo reached
### errexit while condition
set -e; i=0; while [ $i -lt 2 ]; do i=$((i+1)); done; echo $i
### errexit in last and-or
set -e; true && false; echo no
### until with read
until read -r l && [ "$l" = gamma ]; do echo "$l"; done < words.txt
### dollar at in assignment
set -- a b; x="$@"; y=$*; echo "$x|$y"
### set positional from a glob
set -- src/*.rs; echo $# $1
### indirect with default
a=b; echo ${!a:-none}; b=x; echo ${!a:-none}
### shift all
set -- 1 2 3; while (($#)); do echo -n "$1,"; shift; done; echo
### arithmetic for with continue
for ((i=0;i<5;i++)); do ((i%2)) && continue; echo $i; done
### long if chain
x=15; if ((x<5)); then echo a; elif ((x<10)); then echo b; elif ((x<20)); then echo c; else echo d; fi
### comment after command
echo a # b; echo c
### hash in word
echo a#b ${x:-#} '#'
### colon as default assignment
: ${v:=default}; echo $v
### multi digit positional braces
set -- {a..l}; echo ${11} ${12}
### star with quotes in for
for x in "$*"; do echo "[$x]"; done
### compare with regex special
[[ "1.5" =~ ^[0-9]+\.[0-9]+$ ]] && echo decimal; [[ "1x5" =~ ^[0-9]+\.[0-9]+$ ]] || echo not
### regex groups
[[ "2024-01-15" =~ ^([0-9]{4})-([0-9]{2})-([0-9]{2})$ ]] && echo ${BASH_REMATCH[@]:1}
### regex alternation
[[ foobar =~ (foo|bar)+ ]] && echo ${BASH_REMATCH[0]}
### lower to upper by tr
echo hello | tr '[:lower:]' '[:upper:]'
### write to several descriptors
exec 3> three 4> four; echo a >&3; echo b >&4; exec 3>&- 4>&-; cat three four
### stdout saved and restored
exec 5>&1; exec > saved; echo hidden; exec 1>&5 5>&-; echo shown; cat saved
### here-string into read loop
while read -r -n1 c; do echo -n "$c."; done <<< abc; echo
### false in a pipeline with and
false | cat && echo ok
### function names with dashes
my-func() { echo dash; }; my-func
### backslash at end of word
echo "a\\" 'b\'
### arithmetic with assignment in condition
while ((n = n + 1, n < 4)); do echo $n; done
### quoting keeps tabs
x=$'a\tb'; echo "$x" | cat; echo $x
### null command redirect creates
: > made; [ -f made ] && [ ! -s made ] && echo empty file
### process many arguments
set -- $(seq 1 200); echo $# ${200}
### local readonly
f() { local -r c=5; echo $c; }; f; f
### declare in a loop
for n in a b; do declare "v_$n=val_$n"; done; echo $v_a $v_b
### export in a pipeline
export P=1; echo | bash -c 'echo $P'
### source keeps positional
echo 'echo $1' > pos.sh; set -- mine; . ./pos.sh
### source missing
. ./missing.sh; echo $?
### script with shebang
printf '#!/bin/bash\necho "ran $1"\n' > run.sh; chmod +x run.sh; ./run.sh now
### IFS in a subshell
(IFS=,; set -- $(echo a,b,c); echo $#); set -- $(echo a,b,c); echo $#
### empty arguments kept in arrays
a=("" x ""); echo ${#a[@]}; for e in "${a[@]}"; do echo "[$e]"; done
### readonly array
readonly -a ra=(1 2); ra[0]=9; echo ${ra[0]}
### unset array
a=(1 2); unset a; echo ${#a[@]}
### associative iteration sorted
declare -A m=([z]=1 [a]=2); for k in "${!m[@]}"; do echo $k; done | sort
### substitution in associative key
declare -A m; k="a b"; m[$k]=1; m["$k c"]=2; echo ${m["a b"]} ${m["a b c"]}
### increments of associative elements
declare -A c; for w in x y x; do ((c[$w]++)); done; echo ${c[x]} ${c[y]}
### printf of numbers
printf '%d %i %x %X %o %e\n' 10 -5 255 255 8 12345.678
### exit trap sees status
trap 'echo "status $?"' EXIT; false
### kill trap is taken
trap 'echo term' TERM; trap - TERM; echo ok
