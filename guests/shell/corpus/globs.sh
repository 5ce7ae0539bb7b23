### star
echo *.txt
### question mark
echo w?rds.txt
### bracket
echo [cw]*.txt
### negated bracket
echo [!cw]*
### folders
echo */
### in a folder
echo src/*.rs
### nested
echo */*.txt
### hidden files need a dot
echo .h*; echo *idden
### no match stays
echo *.nope
### quoted is literal
echo "*.txt" '*.csv' \*.rs
### in a for loop
for f in src/*.rs; do echo ${f##*/}; done
### in an assignment it is not expanded
x=*.txt; echo "$x"; echo $x
### from a variable
p='*.csv'; echo $p "$p"
### braces make words
echo a{b,c}d {x,y}{1,2}
### brace ranges
echo {1..5} {5..1} {a..e} {01..10..3}
### nested braces
echo {a,b{1,2},c} pre{,-x}
### brace that is none
echo {a} {} a{b c{d,e}
### braces before variables
x=1; echo {$x,2} "{$x,2}"
### braces with paths
echo src/{main,lib}.rs {words,counts}.txt
### globs after braces
echo {*.txt,*.csv}
### sorted
touch b2 b10 b1; echo b*
### ranges in brackets
touch f1 f2 f3 f9; echo f[1-3] f[^1-3]
### class in brackets
touch A1 a1; echo [[:upper:]]*
### glob in redirection
cat < word*.txt | head -1
### case uses patterns
for f in *; do case $f in *.txt) echo text $f;; *.csv) echo table;; esac; done
### a space in names
touch "with space.dat"; for f in *.dat; do echo "[$f]"; done
### star does not cross folders
echo *note*; echo src/*/note.txt
### absolute from pwd
cd src; for f in "$PWD"/*.rs; do echo ${f##*/}; done
