const { Parser } = require('htmlparser2');
module.exports = async () => {
  const out = [];
  const p = new Parser({
    onopentag: (n, a) => out.push(Object.keys(a).length ? `${n}:class=${a.class}` : n), ontext: t => out.push(`text:${t}`), onclosetag: n => out.push(`/${n}`),
  });
  p.write('<p><b class');
  p.write('=x>hi</b>');
  p.end();
  return out;
};
