const nock = require('nock');
module.exports = async () => {
  nock.disableNetConnect();
  nock('https://api.example').get('/v1/x').query({ a: 1 }).matchHeader('authorization', 'token t').reply(200, { n: 1 });
  const body = await (await fetch('https://api.example/v1/x?a=1', { headers: { authorization: 'token t' } })).json();
  const blocked = await fetch('https://other.example/').then(() => false, () => true);
  return { body: { body, pending: nock.pendingMocks(), blocked } };
};
