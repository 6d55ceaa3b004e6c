const { Iconv } = require('iconv');
module.exports = async () => {
  let error;
  try { new Iconv('UTF-8', 'ISO-8859-1').convert('漢'); } catch (e) { error = e.code; }
  return { euro: new Iconv('UTF-8', 'ISO-8859-15').convert('€').toString('hex'), back: new Iconv('SHIFT_JIS', 'UTF-8').convert(Buffer.from('93fa967b', 'hex')).toString(), error };
};
