const R = require('ramda');
module.exports = async () => ({
  total: R.pipe(R.filter(R.propEq('a', 'kind')), R.pluck('n'), R.sum)([{ kind: 'a', n: 20 }, { kind: 'b', n: 1 }, { kind: 'a', n: 40 }]),
  path: R.path(['a', 0, 'b'], { a: [{ b: 'x' }] }),
  evolved: R.evolve({ n: R.inc, s: R.toUpper })({ n: 1, s: 'a' }),
  transposed: R.transpose([[1, 2], [3, 4]]),
});
