const winston = require('winston');
const { Writable } = require('node:stream');
module.exports = async () => {
  const lines = [];
  const stream = new Writable({ write(c, e, cb) { lines.push(String(c).trim()); cb(); } });
  const log = winston.createLogger({ level: 'info', format: winston.format.combine(winston.format.splat(), winston.format.json()), defaultMeta: { svc: 'x' }, transports: [new winston.transports.Stream({ stream })] });
  log.debug('hidden');
  log.warn('n=%d', 5);
  await new Promise(r => log.on('finish', r).end());
  return lines;
};
