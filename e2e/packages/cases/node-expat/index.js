const expat = require('node-expat');
module.exports = async () => {
  const out = [], p = new expat.Parser('UTF-8');
  p.on('startElement', (n, a) => out.push(`<${n} x=${a.x}`)).on('text', t => out.push(`t:${t}`)).on('endElement', n => out.push(`/${n}`));
  p.parse('<a x="1">hé</a>');
  const q = new expat.Parser();
  if (!q.parse('<a></b>')) out.push(q.getError());
  return out;
};
