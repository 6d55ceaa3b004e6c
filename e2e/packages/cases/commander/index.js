const { Command } = require('commander');
const program = seen => new Command().exitOverride().configureOutput({ writeErr() {} })
  .command('copy <files...>').option('-s, --size <n>', 'size', Number).option('--dry').option('-o, --out <f>', 'to', '-')
  .action((files, o) => seen.push(files, o)).exitOverride().configureOutput({ writeErr() {} }).parent;
module.exports = async () => {
  const seen = [];
  program(seen).parse(['copy', 'in.txt', '-s', '3', '--dry'], { from: 'user' });
  let error;
  try { program([]).parse(['copy', 'x', '--nope'], { from: 'user' }); } catch (e) { error = e.code; }
  return { seen, error };
};
