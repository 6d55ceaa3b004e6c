const { simpleParser } = require('mailparser');
module.exports = async ctx => {
  const m = await simpleParser(ctx.rawBody);
  return { subject: m.subject, from: m.from.value[0].address, date: m.date, text: m.text.trim(), file: [m.attachments[0].filename, String(m.attachments[0].content)] };
};
