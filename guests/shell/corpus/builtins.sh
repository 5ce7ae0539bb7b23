### cd and pwd
cd src/deep; pwd | sed 's|.*/src|src|'; cd ..; ls; cd - > /dev/null; ls
### cd fails
cd nope; echo $?; cd words.txt; echo $?
### OLDPWD
a=$PWD; cd src; [ "$OLDPWD" = "$a" ] && echo old
### pushd and popd
pushd src > /dev/null; ls; popd > /dev/null; ls -d src
### echo options
echo -n no newline; echo; echo -e 'a\tb'; echo -E 'a\tb'; echo -- x
### printf
printf '%s-%d\n' a 1 b 2; printf '%05.2f|%x|%o|%c\n' 3.14159 255 8 xyz
### printf widths
printf '[%5s][%-5s][%05d]\n' ab cd 42
### printf -v
printf -v x '%03d' 7; echo $x; printf -v 'a[2]' z; echo ${a[2]}
### printf escapes
printf 'a\nb\t%s\n' c; printf '%b\n' 'x\ty'; printf '%%\n'
### read
echo "a b c" | { read -r x y; echo "$y|$x"; }
### read with IFS
IFS=: read -r a b c <<< "1:2:3:4"; echo "$a $b $c"
### read keeps spaces with empty IFS
IFS= read -r l <<< "  spaced  "; echo "[$l]"
### read trims
read -r l <<< "  spaced  "; echo "[$l]"
### read without -r
read l <<< 'a\tb\\c'; echo "$l"
### read returns one at the end
read -r x < /dev/null; echo $?; printf 'no newline' | { read -r x; echo $? $x; }
### read -d
printf 'a,b,c' | { read -r -d , x; echo $x; }
### read -n
read -r -n 3 x <<< abcdef; echo $x
### read REPLY
read -r <<< "the reply"; echo "$REPLY"
### read several lines
{ read -r a; read -r b; } < words.txt; echo $a $b
### mapfile and loop
mapfile -t m < people.csv; for l in "${m[@]:1}"; do echo ${l%%,*}; done
### set with dashes
set -- -a -b; echo $1 $2; set -- ; echo $#
### set positional
set a b c; echo $2
### shift too far
set -- a; shift 3; echo $? $#
### test numbers
[ 10 -eq 10 ]; echo $?; [ 3 -ge 4 ]; echo $?
### true false colon
true; echo $?; false; echo $?; : ; echo $?
### command skips functions
echo() { printf 'fn\n'; }; command echo real; unset -f echo
### builtin
cd() { echo no; }; builtin cd src; ls; unset -f cd
### unset several
a=1 b=2; unset a b; echo [$a$b]
### let status
let 1; echo $?; let 0; echo $?
### exec replaces
exec echo replaced; echo never
### wait without jobs
wait; echo $?
### jobs run in order
for i in 1 2 3; do echo $i & wait; done
### times of day exist
[ $SECONDS -ge 0 ] && echo ok; [ $RANDOM -ge 0 ] && echo ok
### LINENO is a number
[ $LINENO -gt 0 ] && echo ok
### which type of builtin
type -t echo printf test
### dirs after cd
cd src; dirs > /dev/null; echo $?
### seq and expr like arithmetic
for i in $(seq 1 3); do echo $((i*i)); done
### basename and dirname commands
basename /a/b/c.txt .txt; dirname /a/b/c.txt
### touch mkdir rm
mkdir -p n/m; touch n/m/f; ls n/m; rm -r n; ls -d n; echo $?
### cp and mv
cp words.txt w2; mv w2 w3; cat w3 | head -1; ls w2; echo $?
### xargs runs commands
echo a b c | xargs -n1 echo item
### xargs runs bash
printf '1\n2\n' | xargs -I{} bash -c 'echo got {}'
### find with exec
find src -name '*.rs' | sort; find src -name note.txt -exec cat {} \;
### sort and uniq
printf 'b\na\nb\n' | sort | uniq -c | sed 's/^ *//'
### cut and tr
cut -d, -f1,3 people.csv | tr ',' ' '
### head and tail
head -n 2 words.txt; tail -n 1 words.txt
### grep
grep -n a words.txt; grep -c a words.txt; grep -v a words.txt; echo $?
### sed
sed -n '2p' words.txt; sed 's/a/A/g' words.txt | head -1
### awk
awk -F, 'NR>1 { s += $2 } END { print s }' people.csv
### env passes variables
env X=1 bash -c 'echo $X'; X=2 env | grep '^X='
