const { glob } = require('glob');
const fs = require('node:fs');
module.exports = async () => {
  const cwd = fs.mkdtempSync('/tmp/glob-');
  fs.mkdirSync(`${cwd}/a/b`, { recursive: true });
  for (const f of ['a/x.js', 'a/b/c.js', 'a/b/d.ts', 'top.js']) fs.writeFileSync(`${cwd}/${f}`, '');
  return (await glob('a/**/*.js', { cwd, posix: true })).sort();
};
