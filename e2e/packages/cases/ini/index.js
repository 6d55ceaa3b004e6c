const ini = require('ini');
module.exports = async () => ({ parsed: ini.parse('top=1\n; note\n[db]\nhost = "x"\nlist[]=a\nlist[]=b\n[a.b]\nc=true\n'), text: ini.stringify({ s: { x: 1 } }) });
