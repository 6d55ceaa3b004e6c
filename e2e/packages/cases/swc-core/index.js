const swc = require('@swc/core');
module.exports = async () => ({
  code: (await swc.transform('const f = (n: number) => n + 1;', { jsc: { parser: { syntax: 'typescript' }, target: 'es5' }, minify: true, isModule: false })).code,
  kind: swc.parseSync('let x').body[0].type,
});
