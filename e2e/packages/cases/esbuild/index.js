const esbuild = require('esbuild');
module.exports = async () => {
  const { code } = await esbuild.transform('const a: number = 1; export { a as b }', { loader: 'ts', minify: true });
  const plugin = { name: 'mem', setup(b) { b.onResolve({ filter: /^mem:/ }, a => ({ path: a.path, namespace: 'm' })); b.onLoad({ filter: /.*/, namespace: 'm' }, () => ({ contents: 'export default 40' })); } };
  const { outputFiles } = await esbuild.build({ stdin: { contents: 'import n from "mem:x"; module.exports = n + 2' }, bundle: true, format: 'cjs', write: false, plugins: [plugin], logLevel: 'silent' });
  const m = { exports: {} };
  new Function('module', 'exports', outputFiles[0].text)(m, m.exports);
  const error = await esbuild.transform('let a x').catch(e => e.errors[0].text);
  await esbuild.stop();
  return { code, bundle: m.exports, error };
};
