### operators
echo $((1+2*3)) $(((1+2)*3)) $((7/2)) $((7%3)) $((2**10))
### negative numbers
echo $((-7/2)) $((-7%3)) $((- -3)) $((3 - -2))
### comparison and logic
echo $((3>2)) $((3<2)) $((3==3)) $((3!=3)) $((1&&0)) $((1||0)) $((!5))
### bits
echo $((6&3)) $((6|3)) $((6^3)) $((~5)) $((1<<4)) $((256>>2))
### bases
echo $((0x1F)) $((010)) $((2#1010)) $((16#ff)) $((36#z))
### assignments
((x=5)); ((x+=3)); ((x*=2)); echo $x; ((x-=1, x/=3, x%=3)); echo $x
### increments
x=5; echo $((x++)) $x $((++x)) $x $((x--)) $((--x))
### ternary
x=5; echo $((x>3?10:20)) $((x>9 ? 1 : x>4 ? 2 : 3))
### comma
echo $((a=1, b=2, a+b))
### unset is zero
echo $((nothing+1)) $((nothing))
### variables without dollar
a=3; b=4; echo $((a*a+b*b)) $(($a*$b))
### a variable that holds an expression
e='1+2'; echo $((e*2)) $(($e*2))
### status of double parentheses
((0)); echo $?; ((5)); echo $?; ((1>2)) || echo no
### let
let a=5 b=a*2; echo $a $b; let "c = a + b"; echo $c; let 0; echo $?
### overflow wraps
echo $((9223372036854775807+1))
### division by zero
echo $((1/0)); echo not reached
### division by zero in double parentheses
((1/0)); echo $?
### short circuit has no effect
x=0; ((0 && (x=1))); ((1 || (x=2))); echo $x
### arrays in arithmetic
a=(3 4 5); echo $((a[0]+a[2])) $((a[1]*2)); i=1; echo $((a[i])) $((a[i+1]))
### assignment to elements
a=(1 2); ((a[1]+=5)); ((a[3]=9)); echo ${a[@]} ${!a[@]}
### c style for
for ((i=0;i<3;i++)); do echo $i; done
### c style for with two variables
for ((i=0,j=10;i<j;i+=3,j-=2)); do echo $i $j; done
### endless for with break
for ((;;)); do ((n++ >= 3)) && break; done; echo $n
### while with arithmetic
i=3; while ((i>0)); do echo $i; ((i--)); done
### integer attribute
declare -i n; n=3+4; echo $n; n+=5; echo $n
### nested parentheses
echo $(( ( (1+2) * (3+4) ) - 1 ))
### power is right associative
echo $((2**3**2)) $((-2**2))
### spaces and newlines
echo $((
 1 +
 2
))
### quotes inside
echo $(("1"+2))
### expansion inside
x=abc; echo $((${#x}*2)) $(( ${y:-7} + 1 ))
### modulo of a negative
echo $((-1 % 5)) $((1 % -5))
### factorial function
f() { (( $1 <= 1 )) && echo 1 || echo $(( $1 * $(f $(( $1 - 1 ))) )); }; f 10
### greatest common divisor
a=48 b=36; while ((b)); do t=$((a%b)); a=$b; b=$t; done; echo $a
### fibonacci
a=0 b=1; for ((i=0;i<20;i++)); do echo -n "$a "; t=$((a+b)); a=$b b=$t; done; echo
### unary plus and not
echo $((+5)) $((!0)) $((!!7))
### shifts assign
x=1; ((x<<=5)); echo $x; ((x>>=2)); echo $x; ((x|=1, x&=7, x^=2)); echo $x
