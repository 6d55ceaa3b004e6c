const ICAL = require('ical.js').default ?? require('ical.js');
module.exports = async () => {
  const jcal = ICAL.parse('BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Lunch\\; b\r\n ig\r\nDTSTART:20240101T120000\r\nRRULE:FREQ=WEEKLY;COUNT=2\r\nEND:VEVENT\r\nEND:VCALENDAR');
  const event = new ICAL.Event(new ICAL.Component(jcal).getFirstSubcomponent('vevent')), it = event.iterator();
  const starts = [];
  for (let t = it.next(); t; t = it.next()) starts.push(t.toString());
  return { summary: event.summary, starts };
};
