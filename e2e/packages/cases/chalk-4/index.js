const chalk = new (require('chalk').Instance)({ level: 3 });
module.exports = async () => ({ text: chalk.bold.red('hot'), rgb: chalk.rgb(1, 2, 3)('x') });
