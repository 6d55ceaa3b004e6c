const iconv = require('iconv-lite');
module.exports = async () => ({
  win: iconv.encode('€ä', 'win1252').toString('hex'),
  sjis: iconv.decode(Buffer.from('93fa967b', 'hex'), 'Shift_JIS'),
  koi: iconv.encode('привет', 'koi8-r').toString('hex'),
  lossy: iconv.encode('漢', 'ascii').toString(),
});
