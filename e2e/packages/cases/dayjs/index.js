const dayjs = require('dayjs');
dayjs.extend(require('dayjs/plugin/utc'));
dayjs.extend(require('dayjs/plugin/timezone'));
dayjs.extend(require('dayjs/plugin/isoWeek'));
module.exports = async () => ({
  tokyo: dayjs.utc('2024-01-01T00:00:00Z').tz('Asia/Tokyo').format('YYYY-MM-DD HH:mm'),
  week: dayjs.utc('2024-12-31').isoWeek(),
  iso: dayjs.utc('2024-01-31').add(1, 'month').toISOString(),
});
