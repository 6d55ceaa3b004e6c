const qs = require('qs');
module.exports = async () => ({
  parsed: qs.parse('a[b][]=1&a[b][]=2&c=x+y'),
  text: qs.stringify({ a: { b: [1, 2] }, d: new Date(Date.UTC(2024, 0, 1)) }, { encode: false }),
});
