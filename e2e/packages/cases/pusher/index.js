const Pusher = require('pusher');
module.exports = async () => {
  Date.now = () => 1353088179000;
  const pusher = new Pusher({ appId: '3', key: '278d425bdf160c739803', secret: '7ad3773142a6692b25b8', host: '127.0.0.1' });
  return {
    query: pusher.createSignedQueryString({ method: 'POST', path: '/apps/3/events', params: {}, body: '{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}' }),
    auth: pusher.authorizeChannel('1234.1234', 'private-foobar').auth,
  };
};
