const pino = require('pino');
module.exports = async () => {
  const lines = [];
  const log = pino({ base: null, timestamp: false, redact: ['password'] }, { write: l => lines.push(JSON.parse(l)) });
  log.child({ req: { id: 7 } }).warn('hi');
  log.info({ password: 's' }, 'x');
  log.debug('hidden');
  return lines;
};
