const async = require('async');
module.exports = async () => {
  let running = 0, most = 0;
  const out = await async.mapLimit([1, 2, 3, 4, 5], 2, async n => {
    most = Math.max(most, ++running);
    await new Promise(r => setTimeout(r, 5));
    running--;
    return n * n;
  });
  const { b } = await async.auto({ b: ['a', async ({ a }) => a + 'b'], a: async () => 'a' });
  return { most, out, auto: b };
};
