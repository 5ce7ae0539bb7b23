### errexit ends the script
set -e; echo a; false; echo b
### errexit not in conditions
set -e; if false; then :; fi; false || true; ! true; while false; do :; done; echo reached
### errexit with and-list
set -e; false && true; echo reached
### errexit in a function
set -e; f() { false; echo no; }; f; echo no
### errexit not in a function called in a condition
set -e; f() { false; echo yes; }; if f; then echo then; fi
### errexit in a subshell
set -e; (false; echo no); echo no
### errexit with a pipeline
set -e; false | true; echo reached; set -o pipefail; false | true; echo no
### errexit with an assignment
set -e; x=$(false); echo no
### errexit off again
set -e; set +e; false; echo reached
### nounset
set -u; echo "${x:-fine}"; : "$x"; echo no
### noglob
set -f; echo *.txt; set +f; echo *.txt
### xtrace goes to stderr
set -x; echo traced; set +x
### allexport
set -a; exported=yes; bash -c 'echo $exported'
### dollar dash
set -e; case $- in *e*) echo has e;; esac
### set -o
set -o errexit; set +o errexit; false; echo ok
### combined letters
set -eu; echo ok; set +eu; echo $nothing done
### nullglob
shopt -s nullglob; echo x *.nope y; shopt -u nullglob; echo *.nope
### dotglob
shopt -s dotglob; echo .h* *idden; shopt -q dotglob && echo on
### globstar
shopt -s globstar; echo **/*.txt
### nocasematch
shopt -s nocasematch; [[ ABC == abc ]] && echo same; case X in x) echo case;; esac
### extglob
shopt -s extglob
echo !(*.txt|*.csv|*.sh); echo @(words|counts).txt
### trap exit
trap 'echo bye $?' EXIT; echo hi; exit 3
### trap exit at the end
trap 'echo end' EXIT; echo body
### trap removed
trap 'echo no' EXIT; trap - EXIT; echo yes
### trap in a subshell
(trap 'echo sub' EXIT; echo in); echo out
### readonly
readonly r=1; r=2; echo $r
### readonly in a subshell
readonly r=1; (r=2; echo no); echo $? $r
### export
export E=1; F=2; bash -c 'echo $E $F.'; export F; bash -c 'echo $F'
### export -n
export E=1; export -n E; bash -c 'echo [$E]'
### unset exported
export E=1; unset E; bash -c 'echo [$E]'
### declare -u and -l
declare -u U=abc; declare -l L=ABC; echo $U $L; U=def; echo $U
### declare -x
declare -x D=exported; bash -c 'echo $D'
### declare -p
x="a b"; declare -p x; declare -i n=5; declare -p n; readonly r=1; declare -p r
### declare -g
f() { declare -g G=global; declare L=local; }; f; echo $G [$L]
### unset readonly fails
readonly r=1; unset r; echo $? $r
### bash -c with options
bash -ec 'echo a; false; echo b'; echo $?
### bash -u
bash -uc 'echo $nope; echo no'; echo $?
### bash reading stdin
echo 'echo from stdin' | bash
### exported function variables are not seen
f() { echo x; }; bash -c 'type -t f || echo none'
