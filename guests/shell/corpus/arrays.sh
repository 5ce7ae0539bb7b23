### literal and elements
a=(one two three); echo ${a[0]} ${a[2]} ${#a[@]}
### without subscript is the first
a=(x y); echo $a ${a}
### all elements keep their words
a=("a b" c); for x in "${a[@]}"; do echo "[$x]"; done; echo "${a[*]}"
### append
a=(1); a+=(2 3); echo ${a[@]} ${#a[@]}
### assign by index
a[5]=five; a[2]=two; echo ${a[@]} ${!a[@]}
### negative index
a=(1 2 3); echo ${a[-1]} ${a[-2]}; a[-1]=x; echo ${a[@]}
### unset element
a=(1 2 3); unset 'a[1]'; echo ${a[@]} ${!a[@]} ${#a[@]}
### slices
a=(a b c d e); echo ${a[@]:1:2} ${a[@]:3} "${a[@]: -2}"
### sparse literal
a=([3]=c [1]=a z); echo ${!a[@]}; echo ${a[@]}
### associative
declare -A m; m[k]=v; m["two words"]=x; echo ${m[k]} "${m[two words]}" ${#m[@]}
### associative literal
declare -A m=([a]=1 [b]=2); for k in a b; do echo $k=${m[$k]}; done
### associative keys
declare -A m=([x]=1); echo ${!m[@]}; unset 'm[x]'; echo ${#m[@]}
### key test
declare -A m=([a]=); [[ -v m[a] ]] && echo set; [[ -v m[b] ]] || echo unset
### count words
declare -A n; for w in a b a c a b; do n[$w]=$(( ${n[$w]:-0} + 1 )); done; echo ${n[a]} ${n[b]} ${n[c]}
### copy
a=(1 "2 3" 4); b=("${a[@]}"); echo ${#b[@]} "${b[1]}"
### from a command
a=($(echo x y z)); echo ${#a[@]} ${a[1]}
### from globs
a=(*.txt); echo ${a[@]}
### loop by index
a=(p q r); for i in "${!a[@]}"; do echo $i:${a[$i]}; done
### length of an element
a=(abc de); echo ${#a[0]} ${#a[1]}
### operators on elements
a=(file.txt doc.md); echo ${a[@]%.*} ${a[@]##*.} ${a[0]/file/x}
### case of all elements
a=(ab cd); echo ${a[@]^^} ${a[@]^}
### join with IFS
a=(1 2 3); (IFS=,; echo "${a[*]}")
### array in a function
f() { local -a l=("$@"); echo ${#l[@]} ${l[-1]}; }; f a b c
### pass by nameref
f() { local -n r=$1; r+=(new); }; a=(old); f a; echo ${a[@]}
### mapfile
mapfile -t lines < words.txt; echo ${#lines[@]} ${lines[1]}
### readarray with a count
readarray -t -n 2 l < words.txt; echo ${l[@]}
### read -a
read -r -a w <<< "one two three"; echo ${#w[@]} ${w[2]}
### stack
s=(); s+=(a); s+=(b); echo ${s[-1]}; unset 's[-1]'; echo ${s[@]}
### declare -p of arrays
a=(1 "two words"); declare -p a
### empty array
a=(); echo ${#a[@]} "[${a[@]}]"
### quoted in a test
a=(x); [[ "${a[@]}" == x ]] && echo same
### element append
a=(x y); a[1]+=z; echo ${a[@]}
### indirect array
a=(1 2 3); r='a[@]'; echo "${!r}"
### multi line literal
a=(
  one   # comment
  two
  "three four"
)
echo ${#a[@]} "${a[2]}"
### reverse
a=(1 2 3); for ((i=${#a[@]}-1;i>=0;i--)); do echo -n ${a[i]}; done; echo
### scalar becomes array
x=s; x[1]=t; echo ${x[@]}
### printf with an array
a=(a b c); printf '<%s>\n' "${a[@]}"
