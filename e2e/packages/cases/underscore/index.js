const _ = require('underscore');
module.exports = async () => ({
  chunks: _.chunk([1, 2, 3, 4, 5], 2),
  index: _.countBy([1, 2, 3, 4, 5], n => (n % 2 ? 'odd' : 'even')),
  text: _.template('Hi <%- name %>')({ name: '<Bob>' }),
});
