### output of a command
echo "[$(echo hi)]"
### trailing newlines go
x=$(printf 'a\n\n\n'); echo "[$x]"
### inner newlines stay when quoted
x=$(printf 'a\nb'); echo "$x"; echo $x
### backquotes
echo `echo old style`
### status of a substitution
x=$(exit 4); echo $?
### nested
echo $(echo $(echo $(echo deep)))
### a substitution is a subshell
x=1; y=$(x=2; echo $x); echo $x $y
### cd inside does not leak
x=$(cd src; ls); echo "$x"; ls -d docs
### reading a file
x=$(<words.txt); echo "$x"
### in an argument is split
f() { echo $#; }; f $(echo a b c); f "$(echo a b c)"
### case inside
echo $(case x in (x) echo matched;; esac)
### with quotes and parentheses
echo "$(echo ")" '(')"
### here-document inside
x=$(cat <<EOF
inside
EOF
); echo "$x"
### pipeline inside
echo "lines: $(cat words.txt | wc -l | tr -d ' ')"
### function inside
f() { echo "f:$1"; }; echo $(f a) $(f b)
### exit inside does not end the script
x=$(echo a; exit 2; echo b); echo "$x $?"
### comment inside
echo $(echo a # not ) here
)
### arithmetic with substitution
echo $(( $(echo 3) * $(echo 4) ))
### in a for list
for f in $(cat words.txt | head -2); do echo "<$f>"; done
### empty
x=$(true); echo "[$x]"
### glob in unquoted result
x=$(echo '*.txt'); echo $x; echo "$x"
### last status inside
echo $(false; echo $?)
### errexit is off inside by default
set -e; x=$(false; echo still); echo "$x"
