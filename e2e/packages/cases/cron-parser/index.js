const { CronExpressionParser } = require('cron-parser');
module.exports = async () => {
  const it = CronExpressionParser.parse('0 0 29 2 *', { currentDate: '2024-01-01T00:00:00Z', tz: 'UTC' });
  return [it.next().toISOString(), it.next().toISOString()];
};
