const bwip = require('bwip-js');
module.exports = async () => {
  const [{ sbs }] = bwip.raw('ean13', '5901234123457', {}); // widths of bars and spaces in turn
  return sbs.map((w, i) => (i % 2 ? '0' : '1').repeat(w)).join('');
};
