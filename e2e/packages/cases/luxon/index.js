const { DateTime, Duration } = require('luxon');
module.exports = async () => ({
  ny: DateTime.fromISO('2024-03-10T02:30', { zone: 'America/New_York' }).toISO(), // 02:30 does not exist that night
  dur: Duration.fromObject({ days: 1, hours: 2 }).shiftTo('hours').toISO(),
  month: DateTime.utc(2024, 8, 1).setLocale('fr').toFormat('LLLL'),
});
