### two stages
cat words.txt | sort
### three stages
cat words.txt | sort | head -2
### status is the last stage's
false | true; echo $?; true | false; echo $?
### pipefail takes the last failure
set -o pipefail; false | true; echo $?; true | true; echo $?
### PIPESTATUS holds every code
true | false | (exit 3); echo "${PIPESTATUS[@]}"
### negated pipeline
! echo x | grep -q y; echo $?
### stages are subshells
x=1; echo | x=2; echo $x
### while read at the end of a pipeline is a subshell
n=0; cat words.txt | while read -r line; do n=$((n+1)); done; echo $n
### stderr joins with pipe-ampersand
{ echo out; echo err >&2; } |& sort
### a reader that stops early
yes | head -3
### seq into a loop
seq 1 4 | while read -r i; do echo "n=$i"; done
### group feeds a pipe
{ echo b; echo a; } | sort
### pipe into a group that reads twice
printf '1\n2\n3\n' | { read -r a; read -r b; echo "$b$a"; cat; }
### function in a pipeline
upper() { tr a-z A-Z; }; echo hello | upper
### if in a pipeline
if echo x | grep -q x; then echo found; fi
### for loop into sort
for w in c a b; do echo $w; done | sort
### newline after a pipe
echo z |
  cat
### a failed stage in the middle
cat nope.txt | wc -l
### empty input
cat /dev/null | wc -l
### nested pipelines in substitutions
echo "$(echo b a | tr ' ' '\n' | sort | tr '\n' ' ')"
### tee keeps and passes on
echo data | tee copy.txt | cat; cat copy.txt
### wc of a file through redirection
wc -l < words.txt
