### semicolons run in order
echo a; echo b; echo c
### and-or short circuits
true && echo yes; false && echo no; false || echo or; true || echo nor
### chain of and-or is left associative
false && echo a || echo b && echo c
### negation
! false; echo $?; ! true; echo $?
### status of a list is the last command's
(false; true); echo $?; { true; false; }; echo $?
### background runs and wait returns its status
false & wait $!; echo $?; true & wait $!; echo $?
### status after ampersand is zero
false & echo $?; wait
### exit code of the script
echo before; exit 7; echo after
### exit codes wrap at 256
exit 300
### command not found is 127
nosuchcommand_x; echo $?
### a directory cannot be run
./src; echo $?
### a missing file cannot be run
./nope.sh; echo $?
### comments and blank lines

# a comment
echo x # trailing
echo y#not a comment
### line continuation
echo one \
  two \
three
### exit in a subshell ends the subshell alone
(exit 3); echo $?
### braces group
{ echo a; echo b; } | wc -l
### true and colon
: anything goes here; echo $?
### last status in a pipeline list
echo x | false || echo failed
### exit without number takes the last status
(false; exit); echo $?
### nested groups
{ { echo in; }; (echo sub; { echo deep; }); }
