### single quotes keep everything
echo '$x `y` \n "q"'
### double quotes expand
x=v; echo "$x ${x} $(echo s) $((1+1))"
### backslashes
echo a\ b \$x \\ \"
### backslash in double quotes
echo "a\b \$x \\ \" \`"
### adjacent quotes join
echo 'a'"b"c
### ansi-c quoting
echo $'tab\there\nnew \x41 \101 \u00e9'
### single quote in ansi-c
echo $'it\'s'
### empty arguments count
f() { echo $#; }; f "" '' $nothing "$nothing"
### quoted expansion is one word
x="a  b"; f() { echo $#; }; f $x; f "$x"
### tilde
HOME=/h/u; echo ~ ~/x "~" x~
### tilde in assignments
HOME=/h; x=~/a:~/b; echo $x
### quoted newline
echo "one
two"
### escaped newline in double quotes
echo "one \
two"
### dollar alone
echo $ "$" a$ "a$"
### nested quotes in substitution
echo "$(echo "inner quotes")" "$(echo 'single "x"')"
### bang is literal
echo "hi!" 'there!'
### quotes in the middle of a word
echo pre"mid dle"post
### mixed quoting in assignment
x=a'b c'"d e"; echo "$x"
### unquoted empty expansion vanishes
echo a $empty b
### single quotes inside double quotes
x=1; echo "it's '$x'"
### brace in quotes
echo "{a,b}" '{c,d}'
### locale quoting
echo $"text"
### special characters in single quotes
echo 'a;b|c&d>e<f(g)h'
### backquotes nest with escapes
echo `echo \`echo deep\``
