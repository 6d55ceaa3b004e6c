module.exports = require('polka')().get('/a/:x/b/:y', (req, res) => res.end(JSON.stringify(req.params)));
