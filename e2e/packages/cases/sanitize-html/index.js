const clean = require('sanitize-html');
module.exports = async () => clean('<p onclick=x()>a <b>b</b> <a href="https://x.ch">c</a> <a href="javascript:x()">d</a><script>e</script></p>');
