// Shows the description of the API; what is typed in stays on the page.
"use strict";
const operations = document.getElementById("operations");
window.SwaggerUIBundle({
  url: operations.dataset.description,
  domNode: operations,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // it would tell a stranger's server of this one
  persistAuthorization: false,
});
