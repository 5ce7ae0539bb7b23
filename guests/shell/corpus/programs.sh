### word count by hand
declare -A n; while read -r w; do (( n[${w:0:1}]++ )); done < words.txt; for k in a b d g; do echo $k ${n[$k]}; done
### reverse lines
mapfile -t l < words.txt; for ((i=${#l[@]}-1; i>=0; i--)); do echo "${l[i]}"; done > reversed.txt; cat reversed.txt
### rename by pattern
for f in src/*.rs; do cp "$f" "${f%.rs}.bak"; done; ls src
### primes
for ((i=2;i<30;i++)); do p=1; for ((j=2;j*j<=i;j++)); do ((i%j)) || { p=0; break; }; done; ((p)) && echo -n "$i "; done; echo
### bubble sort
a=(5 2 9 1 7); n=${#a[@]}; for ((i=0;i<n;i++)); do for ((j=0;j<n-i-1;j++)); do if ((a[j]>a[j+1])); then t=${a[j]}; a[j]=${a[j+1]}; a[j+1]=$t; fi; done; done; echo ${a[@]}
### csv to records
{ read -r header; while IFS=, read -r n a c; do printf '%-5s %3d %s\n' "$n" "$a" "$c"; done; } < people.csv
### generate files
for i in {1..3}; do echo "content $i" > "gen_$i.txt"; done; cat gen_*.txt
### config parser
cat > c.ini <<EOF
# comment
a = 1
b=two words
EOF
while IFS='=' read -r k v; do [[ $k =~ ^[[:space:]]*# ]] && continue; k=${k// /}; v=${v# }; echo "$k:$v"; done < c.ini
### retry loop
n=0; try() { ((++n >= 3)); }; until try; do echo attempt $n; done; echo ok after $n
### fizzbuzz
for i in {1..15}; do if ((i%15==0)); then echo FizzBuzz; elif ((i%5==0)); then echo Buzz; elif ((i%3==0)); then echo Fizz; else echo $i; fi; done
### sum of a column
s=0; while read -r n _; do ((s+=n)); done < counts.txt; echo $s
### string reverse
s=hello; r=; for ((i=${#s}-1;i>=0;i--)); do r+=${s:i:1}; done; echo $r
### palindrome test
p() { local s=$1 r=; for ((i=${#s}-1;i>=0;i--)); do r+=${s:i:1}; done; [[ $s == "$r" ]]; }; p level && echo yes; p hello || echo no
### hanoi
h() { (( $1 == 0 )) && return; h $(($1-1)) $2 $4 $3; echo "$2>$3"; h $(($1-1)) $4 $3 $2; }; h 3 a b c
### join lines
paste -sd, words.txt
### template
t='Hello {name}, you are {age}'; t=${t//\{name\}/Ann}; t=${t//\{age\}/31}; echo "$t"
### log levels
log() { local l=$1; shift; printf '[%s] %s\n' "${l^^}" "$*"; }; log info all good; log warn "two  spaces"
### argument parser
parse() { while (($#)); do case $1 in -v|--verbose) v=1;; -o) o=$2; shift;; --out=*) o=${1#*=};; --) shift; break;; -*) echo "unknown $1"; return 1;; *) args+=("$1");; esac; shift; done; }; parse -v --out=x.txt one two -z; echo $? $v $o ${args[@]}
### queue in an array
q=(1); while ((${#q[@]})); do x=${q[0]}; q=("${q[@]:1}"); echo -n "$x "; ((x<8)) && q+=($((x*2)) $((x*2+1))); done; echo
### find the longest line
m=; while read -r l; do ((${#l} > ${#m})) && m=$l; done < words.txt; echo $m
### temporary files
t=$(mktemp); echo temp > "$t"; cat "$t"; rm "$t"; [ -e "$t" ] || echo gone
### tree of folders
mkdir -p t/{a,b}/{x,y}; for d in t/*/*; do touch "$d/f"; done; find t -type f | sort
### idempotent append
add() { grep -qxF "$1" list 2>/dev/null || echo "$1" >> list; }; add a; add b; add a; cat list
### state machine
s=start; for t in a b end; do case $s:$t in start:a) s=mid;; mid:b) s=late;; late:end) s=done;; *) s=bad;; esac; done; echo $s
