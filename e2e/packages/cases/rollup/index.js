const { rollup } = require('rollup');
const files = { main: 'import { used } from "lib"; export const x = used();', lib: 'export function used() { return 1; } export function unused() { return 2; }' };
module.exports = async () => {
  const bundle = await rollup({ input: 'main', plugins: [{ name: 'mem', resolveId: id => id, load: id => files[id] }] });
  return (await bundle.generate({ format: 'es' })).output[0].code;
};
