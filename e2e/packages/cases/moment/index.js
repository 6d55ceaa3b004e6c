const moment = require('moment');
require('moment/locale/de');
module.exports = async () => ({
  utc: moment.utc('2024-02-29').locale('en').format('dddd, MMMM Do YYYY'),
  add: moment.utc('2024-02-29').add(1, 'month').endOf('month').format('YYYY-MM-DD'),
  diff: moment.utc('2025-01-01').diff(moment.utc('2024-01-01'), 'days'),
  de: moment.utc('2024-01-01').locale('de').from(moment.utc('2024-01-04')),
});
