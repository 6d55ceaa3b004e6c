const webpack = require('webpack');
const fs = require('node:fs');
module.exports = (ctx, cb) => {
  const dir = fs.mkdtempSync('/tmp/webpack-');
  fs.writeFileSync(`${dir}/a.js`, 'import { n } from "./b.js"; export const value = n + 2;');
  fs.writeFileSync(`${dir}/b.js`, 'export const n = 40; export const unused = 1;');
  webpack({ mode: 'production', context: dir, entry: './a.js', target: 'node', output: { path: dir, filename: 'out.js', library: { type: 'commonjs2' } } }, (err, stats) =>
    (err ? cb(err) : cb(null, { value: require(`${dir}/out.js`).value, errors: stats.compilation.errors.map(String) })));
};
