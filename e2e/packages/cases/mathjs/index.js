const { create, all, evaluate, det, derivative, sqrt } = require('mathjs');
const big = create(all, { number: 'BigNumber' });
module.exports = async () => ({ unit: evaluate('5 inch to cm').toString(), det: det([[1, 2], [3, 4]]), deriv: derivative('x^2 + x', 'x').toString(), complex: sqrt(-4).toString(), big: big.evaluate('0.1 + 0.2').toString() });
