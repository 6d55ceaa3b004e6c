const nodemailer = require('nodemailer');
const { SMTPServer } = require('smtp-server');
const { simpleParser } = require('mailparser');
module.exports = async () => {
  let got;
  const server = new SMTPServer({
    allowInsecureAuth: true, hideSTARTTLS: true, onAuth: (a, s, cb) => cb(a.password === 'p' ? null : new Error('no'), { user: a.username }),
    onData: async (stream, s, cb) => { const { mailFrom, rcptTo } = s.envelope; got = { mail: await simpleParser(stream), envelope: [mailFrom.address, rcptTo.map(r => r.address)], user: s.user }; cb(); },
  });
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  server.on('error', () => {});
  const open = pass => nodemailer.createTransport({ host: '127.0.0.1', port: server.server.address().port, auth: { user: 'u', pass } });
  await open('p').sendMail({ from: 'a@b.ch', to: 'c@d.ch', bcc: 'e@f.ch', subject: 'Grüße', html: '<b>x</b>', attachments: [{ filename: 'a.txt', content: 'hello' }] });
  const refused = await open('x').verify().catch(e => e.responseCode);
  server.close();
  const { mail, envelope, user } = got, [file] = mail.attachments;
  return { envelope, user, subject: mail.subject, html: mail.html, file: [file.filename, String(file.content)], refused };
};
