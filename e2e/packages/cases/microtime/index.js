const microtime = require('microtime');
module.exports = async () => {
  const a = microtime.now(), b = Date.now() * 1000;
  return { near: Math.floor(Math.abs(a - b) / 1e6), unit: String(a).length - String(Math.floor(b / 1e6)).length };
};
