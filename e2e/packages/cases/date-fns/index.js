const { eachDayOfInterval, format, formatDistance } = require('date-fns');
module.exports = async () => ({
  days: eachDayOfInterval({ start: new Date(2024, 1, 28), end: new Date(2024, 2, 1) }).map(d => format(d, 'yyyy-MM-dd')),
  words: formatDistance(new Date(2024, 0, 1), new Date(2024, 2, 1)),
  quarter: format(new Date(2024, 7, 9), 'QQQ yyyy'),
});
