const sax = require('sax');
module.exports = async () => {
  const events = [];
  const parser = sax.parser(true);
  parser.onopentag = n => events.push(`open:${n.name}`);
  parser.onclosetag = n => events.push(`close:${n}`);
  parser.ontext = t => events.push(`text:${t}`);
  parser.onerror = e => { events.push(`error:${e.message.split('\n')[0]}`); parser.resume(); };
  for (const piece of ['<a><', 'b>1<', '/b></a>', '<']) parser.write(piece); // cut anywhere
  parser.close();
  return events;
};
