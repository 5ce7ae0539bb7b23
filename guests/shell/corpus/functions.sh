### arguments
f() { echo "$1-$2-$#"; }; f a b; f
### return code
f() { return 3; }; f; echo $?
### return of the last command
f() { false; }; f; echo $?; g() { false; return; }; g; echo $?
### local variables
x=global; f() { local x=local; echo $x; }; f; echo $x
### dynamic scope
f() { local v=f; g; }; g() { echo $v; }; v=top; f; g
### assignment in a function is global
f() { y=set; }; f; echo $y
### local without a value
x=1; f() { local x; echo "[$x]"; x=2; }; f; echo $x
### recursion
f() { [ $1 -gt 0 ] && { echo $1; f $(($1-1)); }; }; f 3
### function keyword
function g { echo kw; }; g; function h() { echo both; }; h
### redefinition
f() { echo 1; }; f() { echo 2; }; f
### unset a function
f() { echo x; }; unset -f f; f; echo $?
### function wins over a command
ls() { echo mine; }; ls; unset -f ls; command ls src
### output captured
f() { echo out; return 5; }; x=$(f); echo $x $?
### arguments come back
set -- a b; f() { echo $1; }; f z; echo $1
### nested definitions
f() { g() { echo g of f; }; }; f; g
### subshell body
f() ( x=inner; cd src; echo $x ); x=outer; f; echo $x
### function in a condition
is() { [ "$1" = yes ]; }; if is yes; then echo y; fi; is no || echo n
### return stops it
f() { echo a; return; echo b; }; f
### return out of a loop
f() { for i in 1 2 3; do [ $i = 2 ] && return 9; echo $i; done; }; f; echo $?
### default arguments
f() { local n=${1:-default}; echo $n; }; f; f given
### all arguments passed on
f() { g "$@"; }; g() { echo $#; }; f "a b" c
### shift in a function
f() { while [ $# -gt 0 ]; do echo $1; shift; done; }; f x y z
### getopts
f() { local OPTIND o; while getopts "ab:c" o; do case $o in a) echo A;; b) echo B=$OPTARG;; c) echo C;; ?) echo bad;; esac; done; shift $((OPTIND-1)); echo "rest $*"; }; f -a -b val -c x y; f -cab v2 z
### getopts silent
f() { local OPTIND o; while getopts ":a:" o; do case $o in a) echo $OPTARG;; :) echo missing $OPTARG;; \?) echo unknown $OPTARG;; esac; done; }; f -a; f -z; f -a ok
### FUNCNAME
f() { echo $FUNCNAME; }; f
### local array
f() { local -a a=(1 2); a+=(3); echo ${#a[@]}; }; f; echo ${#a[@]}
### local -r and -i
f() { local -i n=2+3; echo $n; }; f
### pipeline of functions
a() { echo b; echo a; }; b() { sort; }; a | b
### source a file
. ./lib.sh; greet you; echo $LIB
### source with arguments
echo 'echo "args $*"; return 4; echo no' > s.sh; source ./s.sh one two; echo $?; set -- keep; . ./s.sh; echo $1
### script file
echo 'echo "script $0 $1 $#"; x=changed' > s.sh; x=1; bash s.sh arg; echo $x
### eval
x='echo evaluated $y'; y=value; eval "$x"; eval 'z=1; echo $z'; eval; echo $?
### eval with quoting
cmd='printf "%s\n"'; eval "$cmd" '"a b"' c
### variable as command
c=echo; $c hi; c="echo two words"; $c
### command -v
command -v nosuch_z; echo $?; f() { :; }; command -v f; command -v cd
### type -t
f() { :; }; type -t f cd if nosuch; echo $?
