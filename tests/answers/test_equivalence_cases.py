"""Answers that are equal or different only with math-verify: a golden case for each rule."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest

from rzero_cli.answers.equivalence import Equivalence

# Equal by full comparison, including the worker's.
EQUAL_IN_FULL = r"""
# integers
12 | +12 | 12.0 | 12. | $12$ | $$12$$ | \(12\) | \[12\] | \text{12} | \mathbf{12} | {12} | (12)
12 | 012 | **12** | \boxed{12}
-7 | −7 | -7.0 | - 7 | $-7$ | (-7) | –7
2^{10} | 1024 | 2^10 | 4^5 | 1{,}024 | 2 \cdot 512 | 2\times 512 | 2*512
0 | -0 | 0.0 | 0/5 | \frac{0}{7} | 5-5
\displaystyle 15 | 15 | \displaystyle{15} | \large 15
6! | 720 | 3! \cdot 5!
\binom{6}{2} | 15 | {6 \choose 2} | \tbinom{6}{2} | \frac{6!}{4!2!}
2^{3}\cdot 3^{2} | 72 | 2^3 \times 3^2 | 8 \cdot 9 | 2^{3} 3^{2}
1\!000 | 1000
12\,345 | 12345 | 12,345 | 12{,}345 | 12 345 | 12,\!345 | 12\;345 | 12~345
1,234,567 | 1234567 | 1{,}234{,}567 | 1\,234\,567 | 1 234 567
10^6 | 1,000,000 | 1000000 | 1e6 | 1.0 \times 10^{6} | 10^{6}
# decimals
3.50 | 3.5 | \frac{7}{2} | 3\frac12 | 7/2 | 3.5. | $3.5$
-.125 | -0.125 | -\frac18 | -1/8
1{,}234.5 | 1234.5 | 1,234.50
0.1\overline{6} | 1/6 | 0.1\bar{6} | \frac16
0.\overline{142857} | \frac{1}{7}
.\overline{9} | 1
3\times10^8 | 3e8 | 3 \cdot 10^{8} | 300000000 | 3 \times 10^{8} | 3.0 \times 10^8 | 3E8 | 3×10^8
3\times10^8 | 3·10⁸
6.02 \times 10^{23} | 6.02e23 | 602 \times 10^{21}
4.5\times 10^{-5} | 0.000045 | 4.5e-5 | 45 \cdot 10^{-6}
# fractions
\frac{3}{4} | 3/4 | \dfrac{3}{4} | \tfrac34 | \cfrac{3}{4} | {3 \over 4} | {3\over4} | \frac34
\frac{3}{4} | \frac 34 | \frac{3}4 | \frac3{4} | ¾ | 0.75 | \left(\frac{3}{4}\right) | $\frac{3}{4}$
\frac{3}{4} | 3 / 4 | 3 \div 4 | 3÷4 | 6/8 | \frac{6}{8} | \dfrac34
-\frac{5}{6} | \frac{-5}{6} | \frac{5}{-6} | -5/6 | \left(-\frac{5}{6}\right) | -\dfrac56 | (-5)/6
-\frac{5}{6} | 5/(-6) | - \frac{5}{6} | −\frac{5}{6} | \frac{10}{-12} | -{5 \over 6}
-\frac{5}{6} | \frac{-10}{12}
\frac{-3}{-4} | \frac34
\frac{\frac12}{\frac34} | \frac23 | (1/2)/(3/4)
\frac{1}{2}+\frac{1}{3} | \frac56
\frac{13}{4} | 3\frac14 | 3 1/4 | 3\frac{1}{4} | 3 \frac{1}{4} | 3.25 | 3¼ | 3\tfrac{1}{4}
\frac{13}{4} | 3\,\frac{1}{4} | 3 \dfrac14
-2\frac{1}{3} | -\frac73 | -7/3 | -2 1/3
\left(\frac{1}{2}\right)^3 | \frac18 | 2^{-3} | \frac{1}{2^3}
\frac{2019}{2020} | 2019/2020
\frac{1,000}{3} | \frac{1000}{3}
# percent
12.5\% | 12.5% | 12.5 percent | 12.5 | 12.5\ \% | 12.5 \text{ percent} | 12.5\text{\%}
12.5\% | \frac{25}{2}\% | 12.5 per cent
33\frac13\% | 33\frac{1}{3} | 100/3 | 33\frac{1}{3} \%
# units, money, degrees
5 \text{ cm} | 5 cm | 5\text{cm} | 5~\text{cm} | 5\,\text{cm} | 5\mathrm{~cm} | 5\ \mathrm{cm}
5 \text{ cm} | 5 \textrm{ cm} | 5 centimeters | 5 | 5 \mbox{ cm}
9.8 \text{ m/s}^2 | 9.8\,\mathrm{m/s^2} | 9.8 \text{ m/s}^{2} | 9.8
9.8 \text{ m/s}^2 | 9.8 \frac{\text{m}}{\text{s}^2} | 9.8 \text{ m s}^{-2}
9.8 \text{ m/s}^2 | 9.8 \text{ meters per second squared}
24 \text{ cm}^2 | 24 square centimeters | 24 | 24 cm^2 | 24 \text{ cm}^{2} | 24\ \text{square units}
24 \text{ cm}^2 | 24 \text{ sq cm} | 24 units^2 | 24 \text{ units}^2 | 24 cm² | 24 \text{ cm²}
64 \text{ cubic inches} | 64 | 64 \text{ in}^3 | 64 \text{ in.}^3 | 64\text{ in}^{3}
20 \text{ minutes} | 20 | 20 min | 20 minutes | 20\text{ mins} | 20 \text{ min.}
3 apples | 3 | 3 \text{ apples}
150 \text{ students} | 150 | 150 students
\$5 | 5 | 5 dollars | \$ 5.00 | $5 | \$5.00 | 5 \text{ dollars} | \textdollar 5 | 5 USD | \text{\$}5
\$1,250 | 1250 | \$1{,}250.00 | 1,250 dollars | \$1250
€20 | 20 | 20 euros | 20 \text{ euros} | 20€
75 \text{ cents} | 75 | 75¢ | 75 cents
90^\circ | 90 | 90° | 90^{\circ} | 90 degrees | 90 \text{ degrees} | 90\degree | 90^{\text{o}}
90^\circ | 90 deg | 90^\text{o} | {90}^\circ | 90 ^ \circ
98.6^\circ\text{F} | 98.6 | 98.6°F | 98.6^\circ F
\frac{2}{3} \text{ hours} | 2/3 | \frac23 hours | \frac{2}{3} \text{ of an hour}
5\sqrt{3} \text{ cm} | 5\sqrt3 | 5 \sqrt{3}\text{ centimeters}
48\pi \text{ ft}^3 | 48\pi | 48 \pi \text{ cubic feet} | 48π ft³
60 \text{ km/h} | 60 | 60 km/hr | 60 \text{ kilometers per hour} | 60 \, \text{km/h} | 60 kph
60 \text{ km/h} | 60\ \mathrm{km\,h^{-1}} | 60 \frac{\text{km}}{\text{h}} | 60 \frac{km}{h}
12 \text{ kg} \cdot \text{m/s} | 12 | 12 \text{ kg m/s}
# equations and names
x = 5 | 5 | x=5 | $x=5$ | x = 5.0 | x=\frac{10}{2} | \text{x} = 5 | x \; = \; 5 | 5 = x | x = 5.
x = 5 | x=+5 | 2x=10
x=5 or x=-2 | x=-2, 5 | -2, 5 | x \in \{-2, 5\} | x = -2 \text{ or } x = 5 | \{5, -2\} | 5 and -2
x=5 or x=-2 | x=5, -2 | x = 5, x = -2 | -2 \text{ and } 5
\angle ABC = 60^\circ | 60
AB = 10 | 10 | \overline{AB} = 10
f(x) = 2x+1 | 2x+1 | f(x)=2x + 1
y = 2x+1 | 2x+1 | 1+2x
a_n = 2n+1 | 2n+1
P(X) = \frac{1}{6} | \frac16 | \Pr(X) = 1/6
\theta = \frac{\pi}{3} | \frac{\pi}{3} | \pi/3
\text{Area} = 12\pi | 12\pi | \text{area} = 12π
x = -\frac{b}{2a} | \frac{-b}{2a} | -\frac{b}{2a} | -b/(2a)
(x, y) = (2, 3) | (2,3) | (x,y)=(2,3) | \left(2,3\right)
m\angle A = 40^\circ | 40 | \angle A = 40
y=2x+3 | 2x - y + 3 = 0 | y - 3 = 2x | y - 2x = 3 | 2x+3
x^2+y^2=25 | y^2 + x^2 = 25 | x^2 + y^2 - 25 = 0 | 25 = x^2+y^2 | 2x^2+2y^2=50
3x - 4y = 12 | 4y = 3x - 12 | y = \frac34 x - 3 | 3x-4y-12=0
(x-2)^2+(y+1)^2=9 | (x - 2)^2 + (y + 1)^2 = 3^2 | x^2-4x+y^2+2y-4=0
N = 42 | 42
# expressions, polynomials
(x+1)(x-1) | x^2-1 | x^2 - 1 | (x-1)(x+1) | -1+x^2 | \left(x+1\right)\left(x-1\right)
(x+1)(x-1) | (x + 1)\cdot(x - 1)
x^3-3x+2 | (x-1)^2(x+2) | 2 - 3x + x^3
3x^2y | 3yx^2 | 3 x^{2} y | 3\cdot x^2 \cdot y
\frac{x+1}{2} | \frac12 x + \frac12 | (x+1)/2 | \frac{1}{2}(x+1) | 0.5x+0.5
\frac{1}{x} | x^{-1} | 1/x
\frac{a^2 b}{c} | a^2bc^{-1} | a^{2}b/c
n(n+1)/2 | \frac{n(n+1)}{2} | \frac{n^2+n}{2} | \frac{1}{2}n(n+1)
2\ell + 2w | 2(\ell+w)
6x^2+5x-6 | (2x+3)(3x-2)
-(x-3) | 3-x
2(a+b)^2 | 2a^2+4ab+2b^2
# tuples, sets, intervals
(1,2) | (1, 2) | \left(1,2\right) | ( 1 , 2 ) | \left( 1, 2 \right) | $(1,2)$ | \big(1,2\big)
(1,2) | (1.0, \frac{4}{2}) | \langle 1,2 \rangle | \left\langle 1, 2 \right\rangle
(-1, \frac{\sqrt{2}}{2}) | (-1,\frac1{\sqrt2})
(0,0), (1,1) | (1,1), (0,0) | (0,0) \text{ and } (1,1) | \{(0,0),(1,1)\} | (1,1) or (0,0)
(0,0), (1,1) | (0,0);(1,1)
\{1,2,3\} | \{3, 2, 1\} | 1,2,3 | 1, 2, 3 | 1, 2, and 3 | \left\{1,2,3\right\} | 3,2,1 | 1;2;3
\{1,2,3\} | \{1,\,2,\,3\} | 1, 2 \text{ and } 3 | \lbrace 1,2,3 \rbrace | $1, 2, 3$
\{1,2,3\} | $1$, $2$, and $3$ | 1,\ 2,\ 3
(2,5] | (2, 5] | 2 < x \le 5 | x \in (2,5] | \left(2,5\right] | 2 < x \leq 5 | 5 \ge x > 2
(2,5] | x>2 \text{ and } x \le 5 | 2<x\leqslant 5
(-\infty, 2) \cup (3, \infty) | (3,\infty)\cup(-\infty,2) | x<2 or x>3
(-\infty, 2) \cup (3, \infty) | x \in (-\infty, 2) \cup (3, +\infty) | x<2 \text{ or } x>3
(-\infty, 2) \cup (3, \infty) | \left(-\infty,2\right)\cup\left(3,\infty\right)
(-\infty, 2) \cup (3, \infty) | x \in (-\infty,2)\cup(3,\infty)
[-1,1] | -1 \le x \le 1 | -1 \leq x \leq 1 | x \in [-1, 1] | \left[-1,1\right] | -1 ≤ x ≤ 1
[-1,1] | -1 <= x <= 1
(3,5) | 3<x<5 | x>3 and x<5 | x > 3, x < 5 | 5>x>3 | x<5 \text{ and } x>3 | 3 < x \text{ and } x < 5
(3,5) | x \in (3,5)
x \ge 2 | [2,\infty) | 2 \le x | x \geq 2 | [2, \infty) | x>=2 | x \in [2,\infty) | [2,+\infty)
x \ge 2 | x ≥ 2
(-\infty,\infty) | (-\infty, +\infty) | \mathbb{R} | x \in \mathbb{R}
\emptyset | \varnothing | \{\} | ∅ | \{ \}
x \neq 3 | x \ne 3 | x≠3 | 3 \ne x | x \not= 3 | x != 3
(-\infty, 0] \cup \{2\} | \{2\} \cup (-\infty,0]
# matrices
\begin{pmatrix}1\\2\end{pmatrix} | \begin{bmatrix} 1 \\ 2 \end{bmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix} 1 \\ 2 \\ \end{pmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | \left(\begin{matrix}1\\2\end{matrix}\right)
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1.0\\\frac42\end{pmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | \left(\begin{array}{c}1\\2\end{array}\right)
\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix} | \begin{bmatrix}1&0\\0&1\end{bmatrix}
\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix} | \left[\begin{array}{cc}1&0\\0&1\end{array}\right]
\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix} | \begin{pmatrix}1&0\\[2mm]0&1\end{pmatrix}
\begin{pmatrix}-\frac12&\sqrt8\end{pmatrix} | \begin{pmatrix} -1/2 & 2\sqrt2 \end{pmatrix}
\begin{pmatrix}0&x+1\end{pmatrix} | \begin{bmatrix} 0 & 1 + x \end{bmatrix}
# plus-minus
\pm 5 | 5, -5 | -5, 5 | x = \pm 5 | \{-5,5\} | ±5 | \pm5 | x=5 \text{ or } x=-5 | +5 and -5
\pm 5 | \{\pm 5\}
2 \pm \sqrt{3} | 2+\sqrt3, 2-\sqrt3 | \{2-\sqrt{3},2+\sqrt{3}\} | x = 2\pm\sqrt{3}
2 \pm \sqrt{3} | 2 + \sqrt{3} \text{ and } 2 - \sqrt{3}
\frac{-1 \pm \sqrt{5}}{2} | -\frac12 \pm \frac{\sqrt5}{2} | \frac{-1+\sqrt5}{2}, \frac{-1-\sqrt5}{2}
\pm i | i, -i | x = \pm i
# radicals
\frac{\sqrt{2}}{2} | \frac1{\sqrt2} | \frac{1}{\sqrt{2}} | \sqrt{\frac12} | \sqrt{0.5} | \sqrt2/2
\frac{\sqrt{2}}{2} | 2^{-1/2} | \frac12\sqrt2 | \sqrt{1/2}
\sqrt[3]{8} | 2 | 8^{1/3} | \sqrt{4} | 8^{\frac13}
3\sqrt{5} | \sqrt{45} | 3 \cdot \sqrt{5} | 3√5 | 3\sqrt5 | \sqrt{9}\sqrt{5} | 3*sqrt(5) | 3 sqrt(5)
3\sqrt{5} | 3 \sqrt 5 | \frac{15}{\sqrt5} | 3 \cdot 5^{1/2} | 3*5^(1/2)
\sqrt[3]{54} | 3\sqrt[3]{2} | 3 \cdot 2^{1/3}
\sqrt{6}-\sqrt{2} | -\sqrt2+\sqrt6 | \sqrt{2}(\sqrt{3}-1)
\frac{1+\sqrt5}{2} | \frac12+\frac{\sqrt{5}}{2} | \frac{2}{\sqrt5-1}
\sqrt{2}\sqrt{3} | \sqrt{6} | \sqrt2 \cdot \sqrt3
# pi and e
2\pi | 2π | 2 \pi | \pi \cdot 2 | 2 * pi | 2pi | \pi + \pi | 6\pi/3 | 2\cdot\pi
\frac{\pi}{6} | \pi/6 | \frac16\pi | \frac{1}{6} \pi | π/6 | \dfrac{\pi}6
4\pi - 3\sqrt{3} | -3\sqrt3+4\pi
e^2 | e \cdot e | e^{2} | \mathrm{e}^2
\pi r^2 h | \pi h r^{2} | h \pi r^2
\frac{4}{3}\pi r^3 | \frac{4\pi r^3}{3}
# complex
3+4i | 4i+3 | 3 + 4i | 3+4 i | 3+4\mathrm{i} | (3+4i)
\frac{1+i}{2} | \frac12+\frac12i | \frac{1}{1-i} | 0.5+0.5i
-1 | i^2 | i\cdot i
# bases, times, ratios
101_2 | 101_{2} | (101)_2 | 101_{\text{two}} | (101)_{2} | 101_{two} | \text{101}_2 | 101_\text{two}
101_2 | $101_2$ | 101_{(2)}
1A_{16} | 1A_{16} | (1A)_{16} | \text{1A}_{16} | \mathrm{1A}_{16}
3:4 | 3 : 4 | 3\colon4 | 3 : 4. | $3:4$
12:30 PM | 12:30 p.m. | 12:30\text{ PM} | 12:30 pm | 12:30 \text{ p.m.} | 12:30 P.M.
12:30 PM | 12:30\,\text{pm} | 12:30PM
3:45 | 3:45 | $3\!:\!45$
7 \text{ AM} | 7 a.m.
# text
\text{Monday} | Monday | \textbf{Monday} | monday | MONDAY | \mathrm{Monday} | \text{ Monday }
\text{Monday} | Monday. | "Monday" | $\text{Monday}$ | \textit{Monday} | \emph{Monday}
\text{Yes} | Yes | YES | yes. | \textbf{yes} | **Yes**
\text{No} | no | No.
\text{True} | true | TRUE | \mathrm{true}
\text{no solution} | No solutions | There are no solutions. | \text{No solution.}
\text{no solution} | no solution exists | \text{No Solution}
DNE | does not exist | \text{DNE} | \text{does not exist} | \text{d.n.e.}
DNE | The limit does not exist.
\infty | infinity | \text{infinity} | ∞ | +\infty | \text{infinitely many}
\text{blue and green} | blue and green | \text{green and blue}
\text{isosceles} | isosceles
\text{Alice} | Alice | alice
\text{right triangle} | Right triangle | right triangle.
\text{John Smith} | John Smith | john smith
\text{increasing} | increasing | \mathit{increasing}
# choices
C | (C) | \text{(C)} | \textbf{(C)} | \mathbf{C} | C. | \text{C} | \mathrm{(C)} | $\text{C}$
C | \textbf{C} | **C** | [C] | \boxed{C} | (C). | **(C)** | {C}
E | (E) | \text{E} | \textbf{(E)} | \mathbf{(E)}
# functions and symbolic powers
\log_2 8 | 3 | \log_{2} 8 | \log_2(8)
\ln e^2 | 2 | \ln(e^2)
\sin 30^\circ | \frac12 | 0.5
\sin(\pi/6) | 1/2 | \sin\frac{\pi}{6}
2^n | 2^{n}
2^{n+1} | 2 \cdot 2^n
|-5| | 5 | \left|-5\right| | \lvert -5 \rvert
\tan x | \frac{\sin x}{\cos x}
\frac{x^2-4}{x-2} | x+2
e^{2x} | (e^x)^2 | \exp(2x)
\sqrt{x} | x^{1/2} | x^{\frac12}
\ln 8 | 3 \ln 2 | 3\ln(2)
\cos^2 x | (\cos x)^2 | 1-\sin^2 x
\binom{n}{2} | \frac{n(n-1)}{2}
\frac{1}{x+1} | (x+1)^{-1} | 1/(x+1)
\arctan 1 | \frac{\pi}{4} | \tan^{-1} 1
\lfloor 3.7 \rfloor | 3
x^n y | y x^n
# names, letters for units, residues, times, sets in words
\cos^2\theta=\frac14 | \frac14
x^*=3 | 3
\|v\|=2 | 2 | \lVert v \rVert = 2
2\sin x=4y | \sin x=2y | 2y = \sin x
5\text{ m} | 5 m | 5\,\mathrm{m}
9.8 m/s^2 | 9.8 \text{ m/s}^2
12 N | 12\text{ N}
x\equiv3\pmod7 | x \equiv 3 \mod 7 | x ≡ 3 (mod 7) | 3 \pmod 7 | x \equiv 10 \pmod{7}
7 AM | 7 a.m. | 7 \text{ AM} | 7 am
3 \text{ hours } 20 \text{ minutes} | 3 hours and 20 minutes
\emptyset | \text{the empty set}
\mathbb{R} | \text{all real numbers}
\sin x\cdot\cos x | \sin x\cos x
\{x\in\mathbb{R} \mid x>0\} | x>0
k\pi, k\in\mathbb{Z} | k\pi \text{ for } k\in\mathbb{Z}
①③ | 1,3
\left.\frac12\right. | 0.5
\Rightarrow x=5 | 5
e^{2x} | e^(2x)
2\cdot 3^{n-1} | 2*3^(n-1)
2^{\frac{n(n+1)}{2}} | 2^(n(n+1)/2)
60千米/时 | 60公里/小时 | 60 km/h
5支 | 5页 | 5
\mathbb{R} \setminus \{0\} | \mathbb{R} \backslash \{0\}
"""

DIFFERENT_IN_FULL = r"""
# plurals that are numbers, and words that only look like plurals
3 nines | 3 | 3 elevens
5 duos | 5 | 5 trios
5 yes | 5
# quantities with an index
v_1=2, v_2=5 | v_1=5, v_2=2 | 2, 5
F_x=2, F_y=3 | F_x=3, F_y=2
# exponents in brackets
3^(n-1) | 3^n-1 | 3^n
2^(n(n+1)/2) | 2^{n(n+1)}/2
5米/秒 | 5千米/时
# numbers
12 | 21 | -12 | 1.2 | 1,2 | 120 | 12/1000 | 012.1
1,0 | 10
1,0 | 10
0.3 | \frac13 | 0.33 | 0.\overline{3}0 | 0.03
2.718 | e | 2.72
3.14159 | \pi
1.7 | \sqrt{3} | \frac{5}{3}
10^3 | 10^{-3} | 3^{10} | 103 | 30
5! | 5 | 120.5
6.02 \times 10^{23} | 6.02 \times 10^{22} | 6.02
\frac{3}{4} | \frac{4}{3} | 34 | -\frac34 | 3 | 4
3\frac14 | \frac{3}{4} | \frac{31}{4} | 3 | 34
\frac12 | \frac{1}{12} | 12 | \frac{11}{2}
-2\frac13 | -\frac53 | 2\frac13
2^{10} | 20 | 210 | 10^2
\binom{5}{2} | \binom{5}{1} | \frac52 | 5,2
# percent, units
50\% | 0.5 | 5\%
5 \text{ cm} | 6 \text{ cm} | 50 \text{ cm} | 5.5
\$5 | \$6 | \$0.05
30^\circ | 60^\circ | \frac{\pi}{6} | 0.3
5 m | 5 n
5 \text{ thousand} | 5 | 5000.5
2 \text{ dozen} | 2 | 24
5 \text{ tenths} | 5 | 5 \text{ hundredths} | 5 \text{ tens} | 5 \text{ lakh}
x=1, y>2 | y=1, x>2
x>3 \text{ or } y<5 | y>3 \text{ or } x<5
2x=10, 2y=6 | 2y=10, 2x=6
2 \frac{\text{Area}}{h} | 2
4 \text{ more} | 4 | 4 \text{ less}
3 \text{ squared} | 3 | 9
3\text{ hours } 20 \text{ minutes} | 3 | 20 | 3.2
5 \text{ feet } 6 \text{ inches} | 5 | 6 | 5.6
\text{about } 5 | 5 | \text{exactly } 6
n \text{ is even} | n \text{ is odd} | n
2k \text{ for integer } k | 2k
6 \text{ or more} | 6 | 6 \text{ or less}
10 \text{ or } 20 | 10 | 20 | 1020
1st | 1 | 2nd
5^{\text{th}} | 5 | 6^{\text{th}} | 5^t
5 \text{ BC} | 5 \text{ AD} | 5
2 \bmod 5 | 2 | 5
2 \pmod{5} | 2 | 2 \pmod 7
# equations
x = 5 | x = -5 | x=5, y=6 | y > 5
x = 5 | x \ne 5 | x \ge 5
x=1, y=2 | x=2, y=1 | 1,2
# names, nouns and units that disagree
150 \text{ students} | 150 \text{ people}
5\sqrt{3} \text{ cm} | 5 \sqrt{3}\text{ inches}
f(x) = 2x+1 | y = 2x+1 | g(x)=1+2x
\text{Area} = 12\pi | A = 12π
60 \text{ mph} | 60 \text{ km/h}
x = 3 | y = 3
y = 2x+3 | y = 3x+2 | y=2x-3 | y = -2x+3
x^2+y^2=25 | x^2+y^2=5 | x^2-y^2=25 | 25
x^2 = 4 | 2 | 4 | x^2
y = x^2 | x = y^2
x + y | x - y | xy | x
2x | x^2 | x | 2
x^2+1 | x^2-1 | (x+1)^2
\frac{x}{2} | \frac{2}{x} | 2x | x - 2
a^b | b^a | ab
ab | ba c | a+b
X | x
2\pi r | 2\pi r^2 | \pi r
\frac{1}{x+1} | \frac1x + 1 | \frac{1}{x-1}
2^n | 2^{n+1} | 2n | n^2 | 2^{-n}
n! | n | (n+1)! | (n!)!
\sin x | \cos x | \sin 2x | \sin^2 x | x
\log x | \log 2x | \ln x
\sqrt{x} | x | \sqrt{x+1} | x^2
|x| | x | -x
e^x | e^{-x} | x^e
# tuples, sets, intervals
(1,2) | (2,1) | (1,2,3) | 12 | (1.2) | (1,-2)
\{1,2\} | \{1,2,3\} | \{1\} | (1,2) | \{-1,2\}
(0,1) | [0,1] | (0,1] | [0,1) | (1,0) | (0,2)
3<x<5 | 3 \le x<5 | 3<x\le5 | x>3 | x<5 | x<3 \text{ or } x>5 | 4 | x>3 \text{ or } x<5
x>3 \text{ and } x<5 | x>3 \text{ and } y<5 | x>5 \text{ and } x<3 | x>3 \text{ and } x>5
x < 3 | x \le 3 | x > 3 | 3 | x < -3 | y < 3 + x
(-\infty,2)\cup(3,\infty) | (-\infty,2]\cup[3,\infty) | (2,3) | (-\infty,3)\cup(2,\infty)
(-\infty,2)\cup(3,\infty) | (-\infty, \infty)
\{2\} \cup [3,4] | [3,4] | \{2,3,4\}
(-\infty,3) | (-\infty,3] | (3,\infty) | (-\infty,-3)
(0,0), (1,1) | (0,1),(1,0) | (0,0,1,1) | (0,0) | 0,0,1,1
\emptyset | \{0\} | \text{none}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&3\\2&4\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&2&3&4\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1\\2\\3\\4\end{pmatrix} | (1,2,3,4)
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{vmatrix}1&2\\3&4\end{vmatrix} | -2
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}2\\1\end{pmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1&2\end{pmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1\\-2\end{pmatrix}
(\begin{array}{cc|c}1&0&2\\0&1&3\end{array}) | \begin{pmatrix}1&0&2\\0&1&3\end{pmatrix}
# plus-minus, radicals, pi, complex
\pm 5 | 5 | -5 | 0 | \pm 4 | (5,-5)
2 \pm \sqrt{3} | 2+\sqrt3 | 2-\sqrt3 | \pm 2 + 3 | \pm\sqrt3
\sqrt{2}+\sqrt{3} | \sqrt5 | \sqrt{6} | 3.146
\sqrt[3]{9} | 3 | \sqrt{9}\cdot 3 | \sqrt[9]{3} | \sqrt9+1
\sqrt{3}/2 | \sqrt{3/2} | \frac{3}{2} | \frac{\sqrt3}{4}
\sqrt{x^2} | x | -x
\pi | 3 | \frac{22}{7} | 2\pi | \pi^2 | \frac1\pi
e^2 | 2e | 7.389 | e
3+4i | 3-4i | 4+3i | 7 | 5 | 7i
i | -i | 1 | \sqrt{i}
# bases, times, ratios
101_2 | 101_3 | 101 | 5 | 110_2 | 101_{10} | 1012
x_2 | x_3 | x | 2x
3:4 | 4:3 | \frac{3}{4} | 6:8 | 3:5 | 3:4:5 | 34
12:30 PM | 12:30 AM | 1:30 PM | 12:30 | 12:03 PM
2:05 | 12:30 | 2.05 | 205
10:00 | 10 | 1:00
7 \text{ AM} | 7 \text{ PM} | 7
# text
\text{Monday} | \text{Tuesday} | Mon
yes | no | true | false | \text{none} | y
no solution | infinitely many | DNE | \emptyset | 0 | no | one solution
Alice | Bob | \text{Alice and Bob}
\text{even} | \text{odd} | \text{neither}
\text{red} | \text{blue}
A | B | AB | \text{A and B} | a
C | 100 | \text{C and D} | D
C) 12 | 12 | D) 12
ABCD | DCBA | ABC
\overline{AB} | \overline{CD} | \overline{BA} C
March 5 | March 6 | May 5 | 5
July 4, 1776 | July 4, 1777
\text{none of the above} | \text{all of the above} | \text{above}
\text{five} | \text{six}
two | three
x \to \infty | \infty
\text{increasing} | \text{decreasing}
\text{at most } 5 | \text{at least } 5
0 | \text{none}
() | [] | \{\}
? | !
\angle A | \angle B
\triangle ABC | \triangle ABD
# two readings, and what math-verify reads otherwise
\sqrt23 | \sqrt{23} | 3\sqrt2
n!! | (n!)! | n!
\sin x/2 | \sin(x/2) | \frac{\sin x}{2}
\ln 2\cdot 3 | \ln 6 | 3\ln 2
\sin x\cdot\cos x | \sin(x\cos x)
\sin x (y+1) | \sin(xy+x)
(x^2+14)|x| | (x^2+(2)(12))|x|
|12+2| | |(12)(2)|
\frac{14}{3}\sin x | \frac{13}{3}\sin x
2\frac{7}{3}\sin x | \frac{13}{3}\sin x
|x|y|z| | |xz|y||
\frac12\lim_{x \to 0}\frac{|x|}{x} | \frac12
I\sin x | i\sin x
e\sin x | E\sin x
# applications, derivatives, floors, matrices, permutations
p(x) | px
f_1(x) | f_1 x | f_2(x)
f'(x) | f(x) | f''(x) | f'x
f(x+1) | fx+f | f(x)+1
f^{-1}(x) | \frac{1}{f(x)} | f(x)
\phi(10) | 10\phi
\frac{dy}{dx} | \frac yx | \frac{dx}{dy}
[x] | \{x\}
y'+\sin x | y+\sin x
A^{-1}B | BA^{-1}
AB-BA | 0
A\times B | B\times A
(12)(34) | 408 | (13)(24)
n^{\underline{k}} | n^k
\mathcal{P}(A) | P(A)
# sets of sets, unions and lists, words
\{\{1\},\{2\}\} | \{1,2\} | \{\{1,2\}\}
\{\emptyset\} | \emptyset | \{\{\emptyset\}\}
(0,1)\cup(2,3) | (0,1),(2,3)
\text{red and blue} | \text{red or blue}
\text{A and B} | \text{A or B}
\text{(1) and (2)} | \text{(1) or (2)}
\text{True, False} | \text{False, True}
T, F, T | F, T, T
3 \text{ years and } 4 \text{ months} | 3, 4 | 4 \text{ years and } 3 \text{ months}
②④ | 24
5 m | 5 | 5 s
x\equiv3\pmod7 | x\equiv4\pmod7 | x\equiv3\pmod5 | 3
"""


def _rows(table: str) -> list[list[str]]:
    rows = [row for row in table.strip().splitlines() if not row.startswith("# ")]
    return [[cell.strip() for cell in row.split(" | ")] for row in rows]


@pytest.fixture(scope="module")
def equivalence() -> Iterator[Equivalence]:
    with Equivalence(timeout=5.0) as opened:
        yield opened


@pytest.mark.parametrize("row", _rows(EQUAL_IN_FULL), ids=lambda row: row[0])
def test_answers_equal_by_key_or_math_verify(equivalence: Equivalence, row: list[str]) -> None:
    assert [answer for answer in row if not equivalence.equal(row[0], answer)] == []


@pytest.mark.parametrize("row", _rows(DIFFERENT_IN_FULL), ids=lambda row: row[0])
def test_answers_different_by_key_and_math_verify(equivalence: Equivalence, row: list[str]) -> None:
    assert [pair for pair in combinations(row, 2) if equivalence.equal(*pair)] == []
