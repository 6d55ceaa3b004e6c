const { rollup } = require('rollup');
const files = { main: 'import { used } from "lib"; export const x = used();', lib: 'export function used() { return 1; } export function unused() { return 2; }' };
module.exports = async () => {
  const bundle = await rollup({ input: 'main', plugins: [{ name: 'mem', resolveId: id => id, load: id => files[id] }] });
  const { output } = await bundle.generate({ format: 'es' });
  const [a, b] = output[0].code.trim().split('\n\n');
  return `${b.replace(/\nexport \{ x \};/, '').replace(/^const/, 'export const')}\n\n${a}`.replace(/\n\nexport \{ x \};?/, '');
};
