### out and append
echo a > f; echo b >> f; cat f
### truncate without a command
echo x > f; > f; wc -c < f
### input
cat < words.txt
### stderr to a file
nosuch_y 2> err; test -s err && echo has
### stderr to stdout
{ echo out; echo err >&2; } 2>&1 | sort
### both with ampersand
{ echo out; echo err >&2; } &> both; sort both
### both appended
echo one > both; { echo two; echo three >&2; } &>> both; sort both
### order of duplications matters
{ echo out; echo err >&2; } 2>&1 > only; cat only
### descriptor three
exec 3> three; echo a >&3; echo b >&3; exec 3>&-; cat three
### reading from descriptor four
exec 4< words.txt; read -r a <&4; read -r b <&4; echo "$a $b"
### read -u
exec 5< words.txt; read -r -u 5 x; echo $x
### swap of streams
{ { echo out; echo err >&2; } 3>&1 1>&2 2>&3; } 2> swapped; cat swapped
### redirect on a loop
for i in 1 2; do echo $i; done > loop; cat loop
### redirect on a function call
f() { echo in f; echo more; }; f > out; wc -l < out
### redirect in a function definition
f() { echo to file; } > fout; f; cat fout
### here-document
cat <<EOF
line one
line $((1+1))
EOF
### quoted here-document is not expanded
x=1; cat <<'EOF'
$x `date` $(echo)
EOF
### here-document with tabs stripped
cat <<-EOF
	tabbed
		twice
	EOF
### two here-documents
cat <<A; cat <<B
a
A
b
B
### here-document into a pipeline
cat <<EOF | sort
c
a
b
EOF
### here-document with expansions
name=world; cat <<EOF
hello $name ${name^^} "quoted" 'single'
backslash \$name \\
EOF
### here-string
cat <<< "a string"
### here-string is not split
x="a  b"; cat <<< $x
### a missing input file
cat < nope.txt; echo $?
### writing into a missing folder
echo x > no/such/dir; echo $?
### a directory is no target
echo x > src; echo $?
### redirection comes anywhere
> f echo word one; cat f
### append to a new file
echo new >> fresh.txt; cat fresh.txt
### noclobber
set -C; echo a > nc; echo b > nc; echo $?; cat nc; echo c >| nc; cat nc
### dev null
echo gone > /dev/null; cat < /dev/null; echo done
### here-document in a function
f() {
cat <<X
arg $1
X
}
f one; f two
### read loop over a file
while read -r a b; do echo "$b:$a"; done < counts.txt
### read write descriptor
echo hello > rw; exec 6<> rw; read -r x <&6; echo $x
### exec redirects the rest
exec > all.txt; echo captured; exec 1>&2; true
### here-document with a variable as last word
x=a; cat <<EOF
[$x]
[${x:-b}] [${y:-c}]
EOF
### close stdin
cat <&- ; echo $?
### variable as target name
t=target.txt; echo v > "$t"; cat target.txt
### ambiguous redirect
x="a b"; echo hi > $x; echo $?
