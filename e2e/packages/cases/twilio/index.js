const twilio = require('twilio');
const params = { CallSid: 'CA1234567890ABCDE', Caller: '+14158675309', Digits: '1234', From: '+14158675309', To: '+18005551212' };
const check = url => twilio.validateRequest('12345', 'RSOYDt4T1cUTdK1PDd93/VVr8B8=', url, params);
module.exports = async () => {
  const r = new twilio.twiml.VoiceResponse();
  r.say('Hi');
  r.dial('123');
  let sent;
  const httpClient = { async request(o) { // what Twilio's own documentation calls a custom HTTP client
    sent = { auth: Buffer.from(`${o.username}:${o.password}`).toString('base64'), url: o.uri, data: o.data };
    return { statusCode: 201, body: { sid: 'SM1' } };
  } };
  const { sid } = await twilio('AC123', 'token', { httpClient }).messages.create({ to: '+41', from: '+42', body: 'hi' });
  return { valid: [check('https://mycompany.com/myapp.php?foo=1&bar=2'), check('https://mycompany.com/myapp.php?foo=2')], twiml: r.toString(), sent, sid };
};
