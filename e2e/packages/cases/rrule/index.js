const { RRule } = require('rrule');
module.exports = async () => {
  const rule = new RRule({ freq: RRule.MONTHLY, count: 3, byweekday: [RRule.TU.nth(-1)], dtstart: new Date(Date.UTC(2024, 0, 1)) });
  return { days: rule.all().map(d => d.toISOString().slice(0, 10)), text: rule.toText() };
};
