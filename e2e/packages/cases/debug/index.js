const debug = require('debug');
module.exports = async () => {
  const lines = [];
  debug.enable('app:*,-app:quiet');
  for (const [name, ...args] of [['app:a', 'hello %d', 42], ['app:quiet', 'x'], ['other', 'y'], ['app:a', '%j', { x: 1 }]]) {
    const log = debug(name);
    log.useColors = false;
    log.log = (...args) => lines.push(require('node:util').format(...args).replace(/^\S+Z /, ''));
    log(...args);
  }
  return lines;
};
